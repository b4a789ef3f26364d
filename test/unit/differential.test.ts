/** The parts of the differential test that need no server: its conversations, its comparison, its kills. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Author, type Entry } from '../../src/log.ts';
import { INTERRUPTED } from '../../src/loop.ts';
import { readSteps, hasDirectives } from '../../src/model/directives.ts';
import { toId } from '../../src/wire/id.ts';
import { inCallOrder } from '../differential/canonical.ts';
import { findDifference, findFault } from '../differential/compare.ts';
import { hasKills, type Step } from '../differential/conversation.ts';
import { createDice } from '../differential/dice.ts';
import { makeConversation } from '../differential/generate.ts';
import type { Transcript } from '../differential/play.ts';
import { readSide, replayCommand, showFinding, showReport } from '../differential/print.ts';
import { openCalls, restOf } from '../differential/rest.ts';
import { createMeeting } from '../differential/strikes.ts';
import type { Placed } from '../differential/watch.ts';
import { conversations, type Carrier } from '../support/conversation.ts';
import { collectLog } from '../support/projection.ts';

const SEED = 7;
const MANY = Array.from({ length: 300 }, (_, index) => makeConversation(SEED, index));
const stepsOf = ({ scenes }: (typeof MANY)[number]): Step[] => scenes.flatMap(({ steps }) => [...steps]);

describe('conversations', () => {
  it('follow from seed and index alone, for ever', () => {
    expect(makeConversation(SEED, 12)).toEqual(MANY[12]);
    expect(JSON.parse(JSON.stringify(MANY[12]))).toEqual(MANY[12]);
    expect(new Set(MANY.map((one) => JSON.stringify(one))).size).toBe(MANY.length);
    expect(JSON.stringify(makeConversation(SEED + 1, 12))).not.toBe(JSON.stringify(MANY[12]));
    const dice = createDice(1, 2);
    expect(Array.from({ length: 6 }, () => dice.int(0, 99))).toEqual([82, 2, 28, 37, 12, 12]);
  });

  it('have everything in them', () => {
    const names = new Set(MANY.flatMap(({ scenes }) => scenes.map(({ name }) => name)));
    const kills = ['worker', 'api'].flatMap((victim) =>
      ['in a model call', 'in a tool call', 'while it waits for the client'].map(
        (moment) => `${victim} killed ${moment}`,
      ),
    );
    const expected =
      'talk,tools,custom,confirmations,judge,system,steering,interrupt,failures,compaction,window,update,budget,' +
      'off,refusals,the end,hand killed in a tool call,hand killed at rest';
    expect([...names]).toEqual(expect.arrayContaining([...expected.split(','), ...kills]));
    const share = MANY.filter(hasKills).length / MANY.length;
    expect(share).toBeGreaterThan(0.1);
    expect(share).toBeLessThan(0.25);
    expect(MANY.some(({ initial }) => initial !== null)).toBe(true);
    expect(MANY.some(({ budgetCents }) => budgetCents !== null)).toBe(true);
  });

  it('have scripts that the model understands, and names that nothing else has', () => {
    const texts = MANY.flatMap(stepsOf).flatMap((step) =>
      step.do === 'send'
        ? step.events.flatMap((event) =>
            event.type === 'message'
              ? event.content.flatMap((block) => (block.type === 'text' ? [block.text] : []))
              : [],
          )
        : [],
    );
    const scripts = texts.filter(hasDirectives);
    expect(scripts.length).toBeGreaterThan(MANY.length);
    for (const text of scripts) expect(() => readSteps(text)).not.toThrow();
    const gates = MANY.flatMap(stepsOf).flatMap((step) =>
      step.do === 'await' && step.for === 'file' ? [step.file] : [],
    );
    expect(new Set(gates).size).toBe(gates.length);
  });

  it('wait, before they act in the middle, until the middle is there', () => {
    const scenes = MANY.flatMap(({ scenes }) => scenes);
    const early = scenes.filter(({ steps }) =>
      steps.some((step, at) => {
        const before = steps.slice(0, at).filter((one) => one.do === 'await');
        if (step.do === 'open') return !before.some((one) => one.for === 'file');
        if (step.do !== 'release') return false;
        return !before.some((one) => one.for === 'hold' && one.hold === step.hold);
      }),
    );
    expect(early).toEqual([]);
    expect(scenes.filter(({ steps }) => steps.some((step) => step.do === 'release')).length).toBeGreaterThan(
      20,
    );
  });
});

/** A carrier whose drafts need not be whole. */
interface Rough {
  readonly drafts: readonly object[];
  readonly author: Author;
}

/** A log as one server would have it: with ids and times of its own. */
function logOf(carriers: readonly Rough[], salt: string): Entry[] {
  const log = collectLog();
  const text = JSON.stringify(carriers).replaceAll(/\bsevt_(\d+)\b/g, (_, number: string) =>
    toId('sevt', createHash('md5').update(`${salt}${number}`).digest('hex')),
  );
  let clock = salt.length * 1_000_000_000;
  for (const { drafts, author } of JSON.parse(text) as Carrier[]) {
    clock += salt.length * 1000;
    log.append(drafts, clock, author);
  }
  return [...log.entries];
}

function transcriptOf(entries: readonly Entry[], more: Partial<Transcript> = {}): Transcript {
  const hits = { worker: 0, api: 0, hand: 0 };
  return { entries, outcomes: [], requests: [], streamed: [], slice: [], listed: [], hits, ...more };
}

describe('the comparison', () => {
  it('sees no difference in ids and times', () => {
    fc.assert(
      fc.property(conversations, (carriers) => {
        const [left, right] = [logOf(carriers, 'left'), logOf(carriers, 'right side')];
        expect(findDifference(transcriptOf(left), transcriptOf(right))).toBeUndefined();
        if (left.length > 0) expect(left).not.toEqual(right);
      }),
    );
  });

  it('sees any other: something missing, doubled, elsewhere, changed, or belonging to something else', () => {
    const damage = fc.constantFrom('missing', 'doubled', 'first', 'changed', 'untimed', 'another id');
    fc.assert(
      fc.property(conversations, damage, fc.nat(), (carriers, kind, where) => {
        const left = logOf(carriers, 'left');
        const right = damaged(logOf(carriers, 'right side'), kind, where);
        fc.pre(right !== undefined);
        const found = findDifference(transcriptOf(left), transcriptOf(right ?? []));
        expect(found, kind).toMatchObject({ part: 'log' });
      }),
      { numRuns: 300 },
    );
  });

  it('sees what was answered and what the model was asked', () => {
    const entries = logOf([], 'left');
    const answer = (status: number) => ({ outcomes: [{ scene: 'talk', step: 'send', answer: { status } }] });
    const asked = (text: string) => ({ requests: [{ body: { messages: [text] } }] });
    const compare = (left: Partial<Transcript>, right: Partial<Transcript>) =>
      findDifference(transcriptOf(entries, left), transcriptOf(entries, right));
    expect(compare(answer(200), answer(400))).toMatchObject({
      part: 'answers',
      at: 0,
      path: 'answer.status',
    });
    expect(compare(asked('one'), asked('two'))).toMatchObject({ part: 'requests', path: 'body.messages.0' });
    expect(compare(asked('one'), {})).toMatchObject({ part: 'requests', right: undefined });
  });

  it('leaves the settings out where they differ on purpose, and nothing else', () => {
    const [first, ...rest] = logOf(
      [{ drafts: [{ event: { id: 'sevt_1', type: 'x.session_created' } }], author: 'server' }],
      'a',
    );
    const withPolicy = (steering: string): Entry[] => [
      { ...first, event: { ...first?.event, policy: { steering } } } as unknown as Entry,
      ...rest,
    ];
    const [left, right] = [transcriptOf(withPolicy('turn')), transcriptOf(withPolicy('round'))];
    expect(findDifference(left, right)?.path).toBe('event.policy.steering');
    expect(findDifference(left, right, { withoutSettings: true })).toBeUndefined();
  });

  it('holds the stream, the slices and the list against the log', () => {
    const entries = logOf(
      [
        { drafts: [{ event: { id: 'sevt_1', type: 'x.session_created' } }], author: 'server' },
        { drafts: [{ event: { id: 'sevt_2', type: 'user.message', content: [] } }], author: 'client' },
        { drafts: [{ processed: 'sevt_2' }], author: 'server' },
      ],
      'left',
    );
    const slice = entries.slice(1).map(({ position, event }) => ({ position, event })) as Placed[];
    const listed = [slice[1]?.event];
    const views = { slice, streamed: slice, listed };
    expect(findFault(transcriptOf(entries, views))).toBeUndefined();
    expect(findFault(transcriptOf(entries, { ...views, streamed: slice.slice(1) }))).toMatch(
      /^the stream is not/,
    );
    expect(findFault(transcriptOf(entries, { ...views, slice: slice.toReversed() }))).toMatch(
      /^the slice is not/,
    );
    expect(findFault(transcriptOf(entries, { ...views, listed: [] }))).toMatch(/^the list is not/);
  });
});

type Damage = 'missing' | 'doubled' | 'first' | 'changed' | 'untimed' | 'another id';

/** Undefined: there is nothing that could be damaged so. */
function damaged(entries: Entry[], kind: Damage, where: number): Entry[] | undefined {
  const at = where % Math.max(1, entries.length);
  const entry = entries[at];
  if (!entry) return undefined;
  const withEvent = (event: object): Entry[] =>
    entries.toSpliced(at, 1, { ...entry, event: { ...entry.event, ...event } });
  switch (kind) {
    case 'missing':
      return entries.toSpliced(at, 1);
    case 'doubled':
      return entries.toSpliced(at, 0, entry);
    case 'first':
      return at === 0 ? undefined : [entry, ...entries.toSpliced(at, 1)];
    case 'changed':
      return withEvent({ surprise: true });
    case 'untimed':
      return entry.event.processed_at === null ? undefined : withEvent({ processed_at: null });
    case 'another id': {
      const isNamed = entries.filter((one) => JSON.stringify(one).includes(entry.event.id)).length > 1;
      return isNamed ? withEvent({ id: toId('sevt', 'ff'.repeat(16)) }) : undefined;
    }
  }
}

describe('results of calls that ran side by side', () => {
  const use = (id: string, command: string) =>
    ({ event: { id, type: 'agent.tool_use', name: 'bash', input: { command } } }) as unknown as Entry;
  const result = (id: string, text: string) =>
    ({
      event: { type: 'agent.tool_result', tool_use_id: id, content: [{ type: 'text', text }] },
    }) as unknown as Entry;
  const placed = (entries: Entry[]): Entry[] =>
    entries.map((entry, position) => ({
      ...entry,
      position,
      event: { ...entry.event, processed_at: `t${position}` },
    }));
  const ranks = (entries: Entry[]): unknown[] =>
    inCallOrder(placed(entries)).map(({ event, position }) => [
      position,
      event.processed_at,
      'tool_use_id' in event ? event.tool_use_id : event.id,
    ]);
  const GATE = 'until [ -e x ]; do sleep 1; done';

  it('stand in the order of the calls, whichever came first', () => {
    const calls = [use('a', 'ls'), use('b', 'ls'), use('c', 'ls')];
    const results = [result('c', ''), result('a', ''), result('b', '')];
    expect(ranks([...calls, ...results])).toEqual(
      ['a', 'b', 'c', 'a', 'b', 'c'].map((id, at) => [at, `t${at}`, id]),
    );
  });

  it('take the notes of their snapshots along', () => {
    const kept = (id: string) =>
      ({ event: { type: 'x.hand_snapshot', tool_use_id: id } }) as unknown as Entry;
    const calls = [use('a', 'ls'), use('b', GATE), use('c', 'ls')];
    const results = ['c', 'a'].flatMap((id) => [result(id, ''), kept(id)]);
    const ordered = inCallOrder(placed([...calls, ...results, result('b', ''), kept('b')])).slice(3);
    expect(ordered.map(({ event }) => [event.type, 'tool_use_id' in event && event.tool_use_id])).toEqual(
      ['a', 'c', 'b'].flatMap((id) => [
        ['agent.tool_result', id],
        ['x.hand_snapshot', id],
      ]),
    );
  });

  it('stay where they are when the test let them end, unless an interrupt did', () => {
    const calls = [use('a', GATE), use('b', 'ls')];
    const ids = (entries: Entry[]): unknown[] =>
      ranks(entries)
        .slice(2)
        .map((one) => (one as unknown[])[2]);
    expect(ids([...calls, result('b', ''), result('a', 'done')])).toEqual(['b', 'a']);
    expect(ids([...calls, result('b', INTERRUPTED), result('a', INTERRUPTED)])).toEqual(['a', 'b']);
  });
});

describe('rest', () => {
  const event = (type: string, more: object = {}) =>
    ({ position: 0, event: { id: type, type, ...more } }) as unknown as Placed;
  const idle = (...ids: string[]) =>
    event('session.status_idle', {
      stop_reason: ids.length > 0 ? { type: 'requires_action', event_ids: ids } : { type: 'end_turn' },
    });
  const sending = (queued: string[] = [], answered: string[] = [], from = 0) => ({
    queued: new Set(queued),
    answered: new Set(answered),
    from,
  });

  it('needs an idle that is the last word, and everything taken up', () => {
    const taken = { ...event('user.message', { processed_at: 'now' }) };
    expect(restOf([event('session.status_running')], sending())).toBeUndefined();
    expect(restOf([idle(), event('session.status_running')], sending())).toBeUndefined();
    expect(restOf([idle()], sending(['user.message']))).toBeUndefined();
    expect(restOf([taken, idle()], sending(['user.message']))).toBeDefined();
    expect(restOf([idle()], sending([], [], 1))).toBeUndefined();
  });

  it('is there while calls wait, but not once one of them has been answered', () => {
    expect(restOf([idle('a', 'b')], sending(['user.message']))).toBeDefined();
    expect(restOf([idle('a', 'b')], sending([], ['a']))).toBeUndefined();
    expect(restOf([idle('b')], sending([], ['a']))).toBeDefined();
  });

  it('names the calls of the last answer that are the client’s', () => {
    const calls = openCalls([
      event('agent.custom_tool_use', { id: 'old' }),
      event('span.model_request_start'),
      event('agent.tool_use', { id: 'ran', evaluated_permission: 'allow' }),
      event('agent.tool_use', { id: 'asked', evaluated_permission: 'ask' }),
      event('agent.custom_tool_use', { id: 'custom' }),
      event('span.model_request_end'),
    ]);
    expect(calls).toEqual([
      { id: 'asked', kind: 'ask' },
      { id: 'custom', kind: 'custom' },
    ]);
  });
});

describe('kills', () => {
  it('come when all wait for one, the API first, and hit those that asked for them', async () => {
    const killed: string[] = [];
    const meeting = createMeeting({ kill: async (role) => void killed.push(role) }, 3);
    const hit: string[] = [];
    const strike = (who: string, victim: 'worker' | 'api') =>
      meeting.strike(victim).then(() => void hit.push(who));
    const first = strike('first', 'worker');
    const second = strike('second', 'api');
    await Promise.resolve();
    expect(killed).toEqual([]);
    const third = strike('third', 'worker');
    await second;
    expect([killed, hit]).toEqual([['api'], ['second']]);
    meeting.leave();
    await Promise.all([first, third]);
    expect([killed, hit]).toEqual([
      ['api', 'worker'],
      ['second', 'first', 'third'],
    ]);
    expect(meeting.killed).toEqual({ worker: 1, api: 1 });
  });
});

describe('what a person reads', () => {
  const left = readSide('temporal DROVER_STEERING=round A=1=2');
  const options = { seed: SEED, indexes: [3], left, right: readSide('log'), abreast: 1 };
  const conversation = makeConversation(SEED, 3);

  it('names the sides as they are named on the command line', () => {
    expect(left).toEqual({ engine: 'temporal', env: { DROVER_STEERING: 'round', A: '1=2' } });
    expect(replayCommand(conversation, options)).toBe(
      `npm run differential -- --seed ${SEED} --only 3 --left "temporal DROVER_STEERING=round A=1=2" --right log`,
    );
    expect(readSide('log postgres')).toEqual({ engine: 'log', postgres: true, env: {} });
    expect(() => readSide('steam')).toThrow(/expected temporal or log/);
    expect(() => readSide('log what')).toThrow(/expected NAME=value/);
  });

  it('shows the difference with what leads to it, and how to see it again', () => {
    const difference = {
      part: 'log',
      at: 5,
      path: 'event.type',
      before: [{ a: 1 }],
      left: { b: 1 },
      right: undefined,
    } as const;
    const shown = showFinding({ conversation, difference }, options);
    expect(shown.split('\n')).toEqual([
      `conversation 3 of seed ${SEED}: the log differs at 5, event.type`,
      '    4  {"a":1}',
      '  - 5  {"b":1}',
      '  + 5  (nothing)',
      `  again: ${replayCommand(conversation, options)}`,
    ]);
  });

  it('ends with a count of everything', () => {
    const kills = { worker: 1, api: 2, hand: 3, hits: 4 };
    expect(showReport({ conversations: 5, events: 60, kills, findings: [] }, options)).toBe(
      'differential: 5 conversations on temporal DROVER_STEERING=round A=1=2 and log: 60 events and 6 kills ' +
        '(worker 1, api 2, hand 3) that hit 4 times compared, 0 differences',
    );
  });
});
