/** Forks of sessions, and sessions as files. */
import { describe, expect, it } from 'vitest';
import { INTERRUPTED } from '../../src/loop.ts';
import { server } from '../support/client.ts';
import { failureOf } from '../support/control-plane.ts';
import { eventually } from '../support/process.ts';
import { message, only, script, textOf, typesOf, useTestbed, type Live } from '../support/turns.ts';

const bed = useTestbed();
const NDJSON = { 'content-type': 'application/x-ndjson' };
const LONG = 'many words '.repeat(3000);

interface Placed {
  readonly position: number;
  readonly event: { readonly id: string; readonly type: string };
}

interface Fork {
  readonly id: string;
  readonly position: number;
  readonly workspace: {
    readonly state: string;
    readonly reason?: string;
    readonly snapshot?: string;
    readonly bytes?: number;
    readonly added_bytes?: number;
  };
}

const bash = (command: string) => ({ call: 'bash', input: { command } });

async function slice(id: string): Promise<readonly Placed[]> {
  const page: { data: readonly Placed[] } = await bed.client.get(`/v1/x/sessions/${id}/events`);
  return page.data;
}

async function fork(id: string, body: object = {}): Promise<Fork> {
  const made: Fork = await bed.client.post(`/v1/x/sessions/${id}/fork`, { body });
  bed.note(made.id);
  return made;
}

async function atRest(id: string): Promise<void> {
  await eventually('rest', async () => (await bed.client.beta.sessions.retrieve(id)).status === 'idle');
}

/** Says something to a session and waits for the end of its turn; answers what the list has then. */
async function turn(id: string, text: string) {
  const watcher = await bed.watch(id);
  await bed.client.beta.sessions.events.send(id, { events: [message(text)] });
  await watcher.next('session.status_idle');
  watcher.close();
  return (await bed.client.beta.sessions.events.list(id, { limit: 1000 })).data;
}

/** Where the first event of a type stands in the log. */
async function positionOf(live: Live, type: string): Promise<number> {
  const found = (await slice(live.id)).find(({ event }) => event.type === type);
  if (!found) throw new Error(`no ${type}`);
  return found.position;
}

describe('a fork', () => {
  it('has the log up to a position, and goes on differently; the original is untouched', async () => {
    const live = await bed.live();
    await live.turn(script({ say: 'one' }));
    const cut = (await slice(live.id)).length;
    await live.turn(script({ say: 'two' }));
    const before = await slice(live.id);
    const [first] = before.slice(cut);
    const { id, position } = await fork(live.id, { position: first?.position });
    expect(position).toBe(first?.position);
    expect(await slice(id)).toEqual(before.slice(0, cut));
    await atRest(id);
    const listed = await turn(id, script({ say: 'another two' }));
    expect(only(listed, 'agent.message').map(textOf)).toEqual(['one', 'another two']);
    expect(await slice(live.id)).toEqual(before);
    await live.turn(script({ say: 'three' }));
    expect(only(await live.list(), 'agent.message').map(textOf)).toEqual(['one', 'two', 'three']);
  });

  it('of the whole log is at rest, with a workspace of its own', async () => {
    const live = await bed.live();
    await live.turn(script(bash('echo here > f'), { say: LONG }));
    const { id, workspace } = await fork(live.id);
    expect(workspace).toEqual({
      state: 'snapshot',
      snapshot: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      bytes: 5,
      added_bytes: expect.any(Number) as number,
    });
    expect(await slice(id)).toEqual(await slice(live.id));
    const listed = await turn(id, script(bash('cat f; echo there > f'), { say: 'done' }));
    expect(textOf(only(listed, 'agent.tool_result')[1])).toBe('here');
    await live.turn(script(bash('cat f'), { say: 'done' }));
    expect(textOf(only(await live.list(), 'agent.tool_result')[1])).toBe('here');
  });

  it('in the middle of a turn closes what is open, or begins it anew', async () => {
    const live = await bed.live();
    await live.turn(script(bash('echo ran'), { say: 'it said {{result}}' }));
    const position = (await positionOf(live, 'agent.tool_use')) + 2;
    const closed = await fork(live.id, { position });
    await atRest(closed.id);
    const shown = (await bed.client.beta.sessions.events.list(closed.id, { limit: 1000 })).data;
    expect(textOf(only(shown, 'agent.tool_result')[0])).toBe(INTERRUPTED);
    expect(typesOf(shown).at(-1)).toBe('session.status_idle');

    const resumed = await fork(live.id, { position, resume: true });
    await eventually('the answer', async () => {
      const { data } = await bed.client.beta.sessions.events.list(resumed.id, { limit: 1000 });
      return only(data, 'agent.message').map(textOf).join() === 'it said ran';
    });
    await atRest(resumed.id);
  });

  it('is refused at a position that there is not, and where the session is over', async () => {
    const live = await bed.live();
    await live.turn(script({ say: 'one' }));
    const { length }: { length: number } = await bed.client.get(`/v1/x/sessions/${live.id}/events`);
    for (const position of [0, -1, 1.5, length + 1])
      expect(await failureOf(fork(live.id, { position }))).toMatchObject({
        status: 400,
        message: expect.stringContaining('position') as string,
      });
    await bed.client.beta.sessions.archive(live.id);
    expect(await failureOf(fork(live.id))).toMatchObject({ status: 400 });
    expect((await fork(live.id, { position: length })).position).toBe(length);
    expect(await failureOf(fork('sesn_01AAAAAAAAAAAAAAAAAAAAAA'))).toMatchObject({ status: 404 });
  });

  it('does not share anything with what it comes from: each is deleted alone', async () => {
    const live = await bed.live();
    await live.turn(script({ say: LONG }));
    const { id } = await fork(live.id);
    live.close();
    await bed.client.beta.sessions.delete(live.id);
    const listed = await turn(id, script({ say: 'alone' }));
    expect(only(listed, 'agent.message').map((event) => textOf(event).length)).toEqual([
      LONG.trim().length,
      5,
    ]);
  });
});

describe("a fork's workspace", () => {
  /** The results of a session's calls, in their order. */
  const results = (listed: Parameters<typeof only>[0]): string[] =>
    only(listed, 'agent.tool_result').map(textOf);
  const look = script(bash('cat f 2>&1; ls -A'), { say: 'done' });
  /** What a fork's next call sees, once what was under way is closed. */
  const seenBy = async (id = ''): Promise<string | undefined> => {
    await atRest(id);
    return results(await turn(id, look)).at(-1);
  };

  it('is what it was at the position, whatever came later, also when the original is deleted', async () => {
    const live = await bed.live();
    await live.turn(script(bash('mkdir -p a; echo one | tee f > a/b; chmod 755 f'), { say: 'done' }));
    const after = (await slice(live.id)).length;
    await live.turn(script(bash('echo two > f; rm -r a; touch new'), { say: 'done' }));
    const position = (await slice(live.id))[after]?.position;
    const early = await fork(live.id, { position });
    const late = await fork(live.id);
    expect(early.workspace).toMatchObject({ state: 'snapshot', bytes: 8 });
    expect(late.workspace).toMatchObject({ state: 'snapshot', bytes: 4 });
    await live.turn(look);
    live.close();
    expect(results(await live.list()).at(-1)).toBe('two\nf\nnew');
    await bed.client.beta.sessions.delete(live.id);
    expect(await seenBy(early.id)).toBe('one\na\nf');
    const more = script(bash('cat a/b; stat -c %a f'), { say: 'done' });
    expect(results(await turn(early.id, more)).at(-1)).toBe('one\n755');
    expect(await seenBy(late.id)).toBe('two\nf\nnew');
  });

  it('is there right behind the result of the call that made it, and not before', async () => {
    const live = await bed.live();
    await live.turn(script(bash('echo one > f'), bash('echo two > f'), { say: 'done' }));
    const ends = (await slice(live.id)).filter(({ event }) => event.type === 'agent.tool_result');
    const forks = await Promise.all(
      ends.flatMap(({ position }) => [
        fork(live.id, { position }),
        fork(live.id, { position: position + 1 }),
      ]),
    );
    expect(forks.map(({ workspace: { state, bytes } }) => [state, bytes])).toEqual([
      ['empty', undefined],
      ['snapshot', 4],
      ['snapshot', 4],
      ['snapshot', 4],
    ]);
    const [, one, before, two] = forks;
    // Nothing says that the second call had begun when its order was written.
    expect(before?.workspace).toEqual(one?.workspace);
    expect(await seenBy(one?.id)).toBe('one\nf');
    expect(await seenBy(two?.id)).toBe('two\nf');
  });

  it('is not known while a call runs that began before the position', async () => {
    const live = await bed.live();
    const calls = [bash('echo one > f'), bash('echo two > g')];
    await live.turn(script({ calls }, { say: 'done' }));
    const ends = (await slice(live.id)).filter(({ event }) => event.type === 'agent.tool_result');
    const [first, second] = await Promise.all(
      ends.map(({ position }) => fork(live.id, { position: position + 1 })),
    );
    expect(first?.workspace).toEqual({ state: 'none', reason: 'a call was under way' });
    expect(await seenBy(first?.id)).toContain('No such file');
    expect(await seenBy(second?.id)).toBe('one\nf\ng');
  });

  it('goes along with a fork of a fork, before that one has used it and after', async () => {
    const live = await bed.live();
    await live.turn(script(bash('echo one > f'), { say: 'done' }));
    const first = await fork(live.id);
    const unused = await fork(first.id);
    expect(unused.workspace).toEqual(first.workspace);
    await atRest(first.id);
    await turn(first.id, script(bash('echo more >> f'), { say: 'done' }));
    const used = await fork(first.id);
    const inherited = await fork(first.id, { position: first.position });
    expect(inherited.workspace).toEqual(first.workspace);
    expect(await seenBy(unused.id)).toBe('one\nf');
    expect(await seenBy(used.id)).toBe('one\nmore\nf');
  });

  it('is empty where no call was made, and where one only read', async () => {
    const live = await bed.live();
    await live.turn(script({ say: 'one' }));
    expect((await fork(live.id)).workspace).toEqual({ state: 'empty', reason: 'no sandbox was used' });
    await live.turn(script({ call: 'glob', input: { pattern: '*' } }, { say: 'two' }));
    expect((await fork(live.id)).workspace).toEqual({
      state: 'empty',
      reason: 'no call had run in the sandbox that may change files',
    });
  });

  it('is not there where it was too large, and says so', async () => {
    const live = await bed.live();
    await live.turn(script(bash('truncate -s 65M large'), { say: 'done' }));
    const { id, workspace } = await fork(live.id);
    expect(workspace).toEqual({
      state: 'none',
      reason: 'no snapshot was taken: "large" is larger than 64 MiB',
    });
    expect(await seenBy(id)).toContain('No such file');
  });
});

describe('a session in a file', () => {
  async function exported(id: string): Promise<string> {
    const answer = await fetch(`${server().url}/v1/x/sessions/${id}/export`, {
      headers: { 'x-api-key': server().apiKey },
    });
    expect(answer.status).toBe(200);
    return await answer.text();
  }

  async function imported(text: string): Promise<{ status: number; body: unknown }> {
    const answer = await fetch(`${server().url}/v1/x/sessions/import`, {
      method: 'POST',
      headers: { 'x-api-key': server().apiKey, ...NDJSON },
      body: text,
    });
    return { status: answer.status, body: await answer.json() };
  }

  it('is the same session where it is taken in, and goes on when it is written to', async () => {
    const live = await bed.live();
    await live.turn(script(bash('echo one'), { say: LONG }));
    const [before, resource] = [await slice(live.id), await live.read()];
    const text = await exported(live.id);
    expect(await imported(text)).toMatchObject({ status: 409 });
    live.close();
    await bed.client.beta.sessions.delete(live.id);
    expect(await imported(text)).toMatchObject({
      status: 200,
      body: { id: live.id, type: 'session_imported' },
    });
    expect(await slice(live.id)).toEqual(before);
    const { stats: _, ...now } = await bed.client.beta.sessions.retrieve(live.id);
    const { stats: __, ...then } = resource;
    expect(now).toEqual(then);
    const listed = await turn(live.id, script(bash('echo two'), { say: 'done' }));
    expect(only(listed, 'agent.tool_result').map(textOf)).toEqual(['one', 'two']);
    expect(await slice(live.id)).toHaveLength(listed.length + 2);
  });

  it('that was in the middle of a turn sleeps until it is woken, and then ends it', async () => {
    const live = await bed.live();
    await live.send(message(script(bash('sleep 2; echo ran'), { say: 'it said {{result}}' })));
    await live.next('span.model_request_end');
    const text = await exported(live.id);
    await live.next('session.status_idle');
    live.close();
    await bed.client.beta.sessions.delete(live.id);
    expect(await imported(text)).toMatchObject({ status: 200 });
    const before = await slice(live.id);
    await new Promise((resolve) => void setTimeout(resolve, 1500));
    expect(await slice(live.id)).toEqual(before);
    await bed.client.post(`/v1/x/sessions/${live.id}/wake`);
    await eventually('the answer', async () => {
      const { data } = await bed.client.beta.sessions.events.list(live.id, { limit: 1000 });
      return only(data, 'agent.message').map(textOf).join() === 'it said ran';
    });
    await atRest(live.id);
  });

  it('that is archived stays so', async () => {
    const live = await bed.live();
    await live.turn(script({ say: 'one' }));
    await bed.client.beta.sessions.archive(live.id);
    await live.ended;
    const before = await slice(live.id);
    const text = await exported(live.id);
    await bed.client.beta.sessions.delete(live.id);
    expect(await imported(text)).toMatchObject({ status: 200 });
    expect(await slice(live.id)).toEqual(before);
    expect((await live.read()).status).toBe('terminated');
    expect(await failureOf(bed.client.post(`/v1/x/sessions/${live.id}/wake`))).toMatchObject({ status: 400 });
  });

  it('is refused when it is cut off, changed, or of something else', async () => {
    const live = await bed.live();
    await live.turn(script({ say: 'one' }));
    const text = await exported(live.id);
    const lines = text.trimEnd().split('\n');
    const bad = [
      ['', 'line 1'],
      ['{}', 'line 1'],
      ['nonsense', 'line 1: is no JSON'],
      [lines.slice(0, -1).join('\n'), 'cut off'],
      [text.replace('"one"', '"two"'), 'was changed'],
      [text.replace('"version":1', '"version":2'), 'version 1'],
    ] as const;
    for (const [body, says] of bad)
      expect(await imported(body)).toMatchObject({
        status: 400,
        body: { error: { message: expect.stringContaining(says) as string } },
      });
    expect(JSON.stringify(lines)).not.toContain(server().apiKey);
  });
});
