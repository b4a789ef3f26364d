/** What every kind of hands must do, as a suite over a way to make them. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HandGoneError, type HandRef, type ToolOutcome } from '../../src/hands.ts';
import { createConnection } from '../../src/hands/connection.ts';
import { suspendIfIdle, type PresentLife } from '../../src/hands/idle.ts';
import { reapHands, type ListableHands } from '../../src/hands/reap.ts';
import { NoSnapshotError, toManifest } from '../../src/snapshot.ts';
import { createMemoryStore } from '../support/snapshots.ts';
import { fromRecipe, suspendOverAndOver, type Recipe, type Task } from './caller.ts';
import { bash, call, freshId, never, run, startCaller, text, until, untilFile } from './support.ts';

/** A kind of hands under test. */
export interface HandsUnderTest {
  readonly recipe: Recipe;
  /** Ends a hand as a power failure would: everything in it at once, from outside. */
  readonly kill: (hand: HandRef) => Promise<void>;
  /** How the kind itself gets at the present life of a hand, to be disturbed while it is being suspended. */
  readonly presentLife: (hand: HandRef) => PresentLife;
  /** How long a hand of this kind must be quiet in a storm: longer than it takes from its start to a first call. */
  readonly quietMs: number;
  /** What the host knows to run for a hand. */
  readonly processes: (hand: HandRef) => Promise<readonly string[]>;
}

/** A death must be noticed in less than this, which is less than any timeout that would notice it by itself. */
const PROMPTLY_MS = 5_000;
/** Of calls in a storm of suspensions. */
const ROUNDS = 10;

/** Declares the suite. */
export function testHands(setUp: () => Promise<HandsUnderTest>): void {
  let kind: HandsUnderTest;
  let hands: ListableHands;
  let hand: HandRef;
  const provisioned: HandRef[] = [];

  const provision = async (key: string): Promise<HandRef> => {
    const made = await hands.provision(key, { network: 'none' }, never);
    provisioned.push(made);
    return made;
  };

  beforeAll(async () => {
    kind = await setUp();
    hands = fromRecipe(kind.recipe);
    hand = await provision('shared');
  }, 900_000);
  afterAll(async () => {
    for (const made of provisioned) await hands.release(made);
  });
  /** Leaves each test an empty folder and a shell of its own. */
  beforeEach(async () => {
    await run(hands, hand, 'bash', { restart: true, command: 'find /workspace -mindepth 1 -delete' });
  });

  describe('bash', () => {
    it('keeps the working directory and variables from call to call', async () => {
      await bash(hands, hand, 'mkdir deep && cd deep && export COLOUR=blue');
      expect(text(await bash(hands, hand, 'pwd; echo $COLOUR'))).toBe('/workspace/deep\nblue');
    });

    it('reports a failing command as an error with its output, or with its code where there is none', async () => {
      const failed = await bash(hands, hand, 'echo out; echo err >&2; exit_code() { return 3; }; exit_code');
      expect(failed).toEqual({ content: [{ type: 'text', text: 'out\nerr' }], isError: true });
      expect(await bash(hands, hand, '(exit 7)')).toEqual({
        content: [{ type: 'text', text: 'exit 7' }],
        isError: true,
      });
    });

    it('answers a command without output with no content', async () => {
      expect(await bash(hands, hand, 'true')).toEqual({ content: [], isError: false });
    });

    it('restarts', async () => {
      await bash(hands, hand, 'export COLOUR=blue');
      expect(text(await run(hands, hand, 'bash', { restart: true }))).toBe('bash session restarted');
      expect(text(await bash(hands, hand, 'echo "[$COLOUR]"'))).toBe('[]');
    });

    it('asks for a command where none is given', async () => {
      expect(await run(hands, hand, 'bash', {})).toMatchObject({ isError: true });
    });

    it('can write to /dev/stderr by name', async () => {
      expect(await bash(hands, hand, 'echo seen > /dev/stderr')).toMatchObject({
        content: [{ text: 'seen' }],
        isError: false,
      });
    });

    it('reports an unclosed quote at once and keeps the shell', async () => {
      await bash(hands, hand, 'export COLOUR=blue');
      expect(text(await bash(hands, hand, 'echo "never closed'))).toContain('unexpected EOF');
      expect(text(await bash(hands, hand, 'echo $COLOUR'))).toBe('blue');
    });

    it('keeps quotes, newlines and dollars as they are', async () => {
      expect(text(await bash(hands, hand, `cat <<'X'\nit's "$HOME"\n\\n\nX`))).toBe('it\'s "$HOME"\n\\n');
    });

    it('shortens output over 100,000 characters and keeps all of it in a file', async () => {
      const outcome = await bash(hands, hand, 'seq 1 100000');
      const shown = text(outcome);
      expect(outcome.isError).toBe(false);
      expect(shown.length).toBeLessThan(30_000);
      expect(shown.startsWith('1\n2\n3\n')).toBe(true);
      expect(shown.endsWith('\n99999\n100000')).toBe(true);
      expect(shown).toContain('588895 characters');
      const path = /\/mnt\/session\/tool-output\/[\w.-]+/.exec(shown)?.[0] ?? 'no path';
      expect(text(await bash(hands, hand, `seq 1 100000 | cmp - ${path} && echo same`))).toBe('same');
    });

    it('shows output of exactly 100,000 characters whole', async () => {
      const shown = text(await bash(hands, hand, `printf '%0100000d' 7`));
      expect(shown).toHaveLength(100_000);
      expect(shown).not.toContain('/mnt/session');
    });

    it('keeps characters whole that arrive in parts', async () => {
      expect(text(await bash(hands, hand, `printf '\\xe2\\x82'; sleep 0.1; printf '\\xac'`))).toBe('€');
    });

    it('does not wait for what a command leaves in the background, nor end it', async () => {
      const outcome = await bash(hands, hand, 'sleep 300 & echo $!');
      expect(outcome.isError).toBe(false);
      expect(text(await bash(hands, hand, `kill -0 ${text(outcome)} && echo alive`))).toBe('alive');
    });

    it('ends a command at its timeout, whatever process group it is in, with the output so far', async () => {
      const command = 'echo begun; timeout 500 sleep 411.1 & setsid sleep 411.2 & sleep 411.3';
      const outcome = await run(hands, hand, 'bash', { command, timeout_ms: 400 });
      expect(outcome.isError).toBe(true);
      expect(text(outcome)).toBe('begun\nbash: bash command timed out after 400ms');
      expect(text(await bash(hands, hand, LIST_COMMANDS))).not.toContain('sleep 411.');
    });
  });

  describe('files', () => {
    it('writes with missing folders, reads whole and in part', async () => {
      const content = 'one\ntwo\nthree\nfour\n';
      const written = await run(hands, hand, 'write', { file_path: 'a/b/c.txt', content });
      expect(text(written)).toBe('wrote 19 bytes to a/b/c.txt');
      expect(text(await run(hands, hand, 'read', { file_path: '/workspace/a/b/c.txt' }))).toBe(content);
      const range = { file_path: 'a/b/c.txt', view_range: [2, 3] };
      expect(text(await run(hands, hand, 'read', range))).toBe('two\nthree');
      expect(text(await run(hands, hand, 'read', { ...range, view_range: [3, 0] }))).toBe('three\nfour\n');
    });

    it('reaches uploads, outputs and /tmp, but no other folder', async () => {
      for (const file_path of ['/mnt/session/outputs/x', '/mnt/session/uploads/x', '/tmp/x']) {
        expect(await run(hands, hand, 'write', { file_path, content: 'x' })).toMatchObject({
          isError: false,
        });
      }
      const outside = await run(hands, hand, 'read', { file_path: '/etc/hostname' });
      expect(outside.isError).toBe(true);
      expect(text(outside)).toContain('outside');
    });

    it('edits what occurs once, refuses what does not, and replaces all when told', async () => {
      await run(hands, hand, 'write', { file_path: 'e.txt', content: 'red green red' });
      const edit = (input: Record<string, unknown>): Promise<ToolOutcome> =>
        run(hands, hand, 'edit', { file_path: 'e.txt', ...input });
      expect(await edit({ old_string: 'red', new_string: 'x' })).toMatchObject({ isError: true });
      expect(await edit({ old_string: 'blue', new_string: 'x' })).toMatchObject({ isError: true });
      expect(text(await edit({ old_string: 'green', new_string: '$&' }))).toBe(
        'edited e.txt (1 replacement(s))',
      );
      expect(text(await edit({ old_string: 'red', new_string: 'x', replace_all: true }))).toBe(
        'edited e.txt (2 replacement(s))',
      );
      expect(text(await run(hands, hand, 'read', { file_path: 'e.txt' }))).toBe('x $& x');
    });

    it('finds files by pattern, the newest first', async () => {
      await bash(
        hands,
        hand,
        'mkdir d; touch -d 2020-01-01 d/old.ts; touch -d 2021-01-01 new.ts; touch other.md',
      );
      const found = text(await run(hands, hand, 'glob', { pattern: '**/*.ts' })).split('\n');
      expect(found.map((path) => path.slice(path.lastIndexOf('/') + 1))).toEqual(['new.ts', 'old.ts']);
      expect(text(await run(hands, hand, 'glob', { pattern: '**/*.nope' }))).toBe('no matches');
    });

    it('searches in files', async () => {
      await run(hands, hand, 'write', { file_path: 'g/one.txt', content: 'alpha\nbeta 42\n' });
      const found = text(await run(hands, hand, 'grep', { pattern: 'beta [0-9]+' }));
      expect(found).toMatch(/g\/one\.txt:2:beta 42/);
      expect(await run(hands, hand, 'grep', { pattern: 'gamma' })).toEqual({
        content: [{ type: 'text', text: 'no matches' }],
        isError: false,
      });
    });

    it('shortens a long file too', async () => {
      await bash(hands, hand, `yes 0123456789 | head -c 200000 > long.txt`);
      const shown = text(await run(hands, hand, 'read', { file_path: 'long.txt' }));
      const path = /\/mnt\/session\/tool-output\/[\w.-]+/.exec(shown)?.[0] ?? 'no path';
      expect(shown.length).toBeLessThan(30_000);
      expect(text(await bash(hands, hand, `cmp long.txt ${path} && echo same`))).toBe('same');
    });

    it('names a tool that it does not have', async () => {
      const outcome = await run(hands, hand, 'web_search', { query: 'x' });
      expect(outcome.isError).toBe(true);
      expect(text(outcome)).toContain('web_search');
    });
  });

  describe('calls', () => {
    it('run side by side', async () => {
      const waiting = bash(hands, hand, 'until [ -e go ]; do sleep 0.02; done; echo went');
      await run(hands, hand, 'write', { file_path: 'go', content: '' });
      expect(text(await waiting)).toBe('went');
    });

    it('of the shell queue one after another', async () => {
      const numbers = [1, 2, 3, 4, 5];
      await Promise.all(
        numbers.map((number) =>
          bash(hands, hand, `echo begin ${number} >> log; sleep 0.02; echo end ${number} >> log`),
        ),
      );
      const lines = text(await bash(hands, hand, 'cat log')).split('\n');
      expect(lines.filter((_, at) => at % 2 === 0).map((line) => line.replace('begin', 'end'))).toEqual(
        lines.filter((_, at) => at % 2 === 1),
      );
    });

    it('that are asked for several times run once', async () => {
      const once = { id: freshId(), name: 'bash', input: { command: 'echo x >> f; sleep 0.2; cat f' } };
      const outcomes = await Promise.all([1, 2, 3].map(() => hands.execute(hand, once, never)));
      expect(outcomes.map(text)).toEqual(['x', 'x', 'x']);
      expect(text(await hands.execute(hand, once, never))).toBe('x');
      expect(await call<ToolOutcome>(kind.recipe, { do: 'execute', hand, call: once })).toEqual(outcomes[0]);
      expect(text(await bash(hands, hand, 'wc -l < f'))).toBe('1');
    });

    it('are found again by another process after the first was killed in the middle', async () => {
      const one = {
        id: freshId(),
        name: 'bash',
        input: { command: 'echo x >> f; until [ -e go ]; do sleep 0.02; done; wc -l < f' },
      };
      const first = startCaller(kind.recipe, { do: 'execute', hand, call: one });
      const ended = once(first, 'close');
      await untilFile(hands, hand, 'f');
      first.kill('SIGKILL');
      await ended;
      const second = call<ToolOutcome>(kind.recipe, { do: 'execute', hand, call: one });
      await run(hands, hand, 'write', { file_path: 'go', content: '' });
      expect(await second).toEqual({ content: [{ type: 'text', text: '1' }], isError: false });
      expect(text(await bash(hands, hand, 'cat f'))).toBe('x');
    });

    it('that ended while nobody listened are answered from the journal', async () => {
      const one = {
        id: freshId(),
        name: 'bash',
        input: { command: 'echo x >> f; until [ -e go ]; do sleep 0.02; done; echo over > over; echo fine' },
      };
      const first = startCaller(kind.recipe, { do: 'execute', hand, call: one });
      const ended = once(first, 'close');
      await untilFile(hands, hand, 'f');
      first.kill('SIGKILL');
      await ended;
      await run(hands, hand, 'write', { file_path: 'go', content: '' });
      await untilFile(hands, hand, 'over');
      expect(text(await hands.execute(hand, one, never))).toBe('fine');
      expect(text(await bash(hands, hand, 'cat f'))).toBe('x');
    });
  });

  describe('an aborted call', () => {
    it('leaves no process behind and rejects with the reason', async () => {
      await bash(hands, hand, 'sleep 422.0 & echo started before');
      const controller = new AbortController();
      const command =
        'touch f; timeout 500 sleep 422.1 & setsid sleep 422.2 & (setsid sh -c "sleep 422.3 & sleep 422.4" &) ; sleep 422.5';
      const aborted = hands.execute(
        hand,
        { id: freshId(), name: 'bash', input: { command } },
        { signal: controller.signal },
      );
      await untilFile(hands, hand, 'f');
      const reason = new Error('the user interrupted');
      controller.abort(reason);
      await expect(aborted).rejects.toBe(reason);
      expect(text(await bash(hands, hand, LIST_COMMANDS))).not.toMatch(/sleep 422\.[1-5]/);
    });

    it('keeps what earlier calls detached', async () => {
      await bash(hands, hand, 'setsid sleep 433.0 & echo detached');
      const controller = new AbortController();
      const aborted = hands.execute(
        hand,
        { id: freshId(), name: 'bash', input: { command: 'touch f; sleep 433.1' } },
        { signal: controller.signal },
      );
      await untilFile(hands, hand, 'f');
      controller.abort(new Error('stop'));
      await expect(aborted).rejects.toThrow('stop');
      expect(text(await bash(hands, hand, LIST_COMMANDS))).toMatch(/sleep 433\.0/);
      await bash(hands, hand, 'kill $(cat /proc/[0-9]*/stat | grep "(sleep)" | cut -d" " -f1)');
    });

    it('does not run when it was still waiting for the shell, and leaves the shell alone', async () => {
      await bash(hands, hand, 'export COLOUR=blue');
      const running = bash(hands, hand, 'touch f; until [ -e go ]; do sleep 0.02; done; echo $COLOUR');
      await untilFile(hands, hand, 'f');
      const controller = new AbortController();
      const waiting = hands.execute(
        hand,
        { id: freshId(), name: 'bash', input: { command: 'touch ran' } },
        { signal: controller.signal },
      );
      controller.abort(new Error('no more'));
      await expect(waiting).rejects.toThrow('no more');
      await run(hands, hand, 'write', { file_path: 'go', content: '' });
      expect(text(await running)).toBe('blue');
      expect(text(await bash(hands, hand, 'echo $COLOUR; ls'))).toBe('blue\nf\ngo');
    });

    it('that was aborted before it was made is not made', async () => {
      const signal = AbortSignal.abort(new Error('too late'));
      await expect(
        hands.execute(
          hand,
          { id: freshId(), name: 'write', input: { file_path: 'f', content: '' } },
          { signal },
        ),
      ).rejects.toThrow('too late');
      expect(await bash(hands, hand, 'ls')).toEqual({ content: [], isError: false });
    });
  });

  describe('a hand', () => {
    it('is the same for the same key, also when two processes ask at once', async () => {
      const [mine, ...others] = await Promise.all([
        provision('contested'),
        call<HandRef>(kind.recipe, { do: 'provision', key: 'contested' }),
        call<HandRef>(kind.recipe, { do: 'provision', key: 'contested' }),
        provision('contested'),
      ]);
      expect(others).toEqual([mine, mine, mine]);
      expect(await provision('contested')).toEqual(mine);
      expect((await hands.list()).filter(({ key }) => key === 'contested')).toHaveLength(1);
    });

    it('outlives the process that provisioned it', async () => {
      const made = await call<HandRef>(kind.recipe, { do: 'provision', key: 'orphan' });
      provisioned.push(made);
      expect(text(await bash(hands, made, 'echo here'))).toBe('here');
      expect(await provision('orphan')).toEqual(made);
    });

    it('does not see the files and processes of another', async () => {
      const other = await provision('neighbour');
      await bash(
        hands,
        other,
        'echo secret > /workspace/s; echo secret > /tmp/s; echo secret > /mnt/session/outputs/s; sleep 444.4 &',
      );
      expect(text(await bash(hands, hand, 'ls /workspace/s /tmp/s /mnt/session/outputs/s 2>&1'))).not.toMatch(
        /^\//m,
      );
      expect(text(await bash(hands, hand, LIST_COMMANDS))).not.toContain('444.4');
    });

    it('has no network', async () => {
      const server = createServer((socket) => socket.end('reached')).listen(0, '127.0.0.1');
      await once(server, 'listening');
      try {
        const { port } = server.address() as AddressInfo;
        const outcome = await bash(hands, hand, `cat < /dev/tcp/127.0.0.1/${port}`);
        expect(outcome.isError).toBe(true);
        expect(text(outcome)).toContain('refused');
        expect(text(await bash(hands, hand, `grep -o '^ *[a-z0-9]*:' /proc/net/dev | tr -d ' '`))).toBe(
          'lo:',
        );
      } finally {
        server.close();
      }
    });

    it('does not see the environment of its worker', async () => {
      const env = { CANARY: 'yellow-bird-1b2c', ANTHROPIC_API_KEY: 'yellow-bird-3d4e' };
      const made = await call<HandRef>(kind.recipe, { do: 'provision', key: 'canary' }, env);
      provisioned.push(made);
      const look = {
        id: freshId(),
        name: 'bash',
        input: {
          command: 'env | sort; cat /proc/*/environ /proc/*/cmdline 2> /dev/null | tr "\\0" "\\n"; true',
        },
      };
      const seen = text(await call<ToolOutcome>(kind.recipe, { do: 'execute', hand: made, call: look }, env));
      expect(seen).toContain('HOME=/workspace');
      expect(seen).not.toContain('yellow-bird');
      const own = text(await bash(hands, made, 'env'))
        .split('\n')
        .map((line) => line.split('=')[0] ?? '');
      expect(own.sort()).toEqual(['HOME', 'LANG', 'PATH', 'PWD', 'SHLVL', 'TERM', 'USER', '_']);
    });

    it('has no rights to speak of', async () => {
      const status = text(
        await bash(hands, hand, 'id -u; grep -E "^(CapEff|CapPrm|NoNewPrivs)" /proc/self/status'),
      );
      expect(status).not.toMatch(/^0\n/);
      expect(status).toMatch(/CapPrm:\s+0+\nCapEff:\s+0+\nNoNewPrivs:\s+1/);
      expect(await bash(hands, hand, 'touch /usr/x || touch /etc/x || touch /x')).toMatchObject({
        isError: true,
      });
    });

    it('does not let a fork bomb out', async () => {
      const made = await provision('bomb');
      await run(hands, made, 'bash', {
        command: 'bomb() { bomb | bomb & }; bomb; sleep 0.5',
        timeout_ms: 2_000,
      });
      await hands.release(made);
      expect((await hands.list()).map(({ hand: { id } }) => id)).not.toContain(made.id);
    });

    it('that is killed in the middle of a call says so promptly, and the next one is fresh', async () => {
      const made = await provision('mortal');
      const pending = bash(hands, made, 'touch f; sleep 300');
      const failed = pending.then(
        () => 'no error',
        (error: unknown) => error,
      );
      await untilFile(hands, made, 'f');
      const killedAtMs = performance.now();
      await kind.kill(made);
      const error = await failed;
      expect(performance.now() - killedAtMs).toBeLessThan(PROMPTLY_MS);
      expect(error).toBeInstanceOf(HandGoneError);
      expect((error as Error).message).toMatch(/^The sandbox .*(killed|gone)/);
      const next = await provision('mortal');
      expect(next.id).not.toBe(made.id);
      expect(await bash(hands, next, 'ls')).toEqual({ content: [], isError: false });
      await expect(bash(hands, made, 'true')).rejects.toBeInstanceOf(HandGoneError);
    });

    it('whose runner is killed from inside is gone, and takes everything with it', async () => {
      const made = await provision('suicide');
      await expect(bash(hands, made, 'setsid sleep 300 & kill -9 $PPID; sleep 300')).rejects.toThrow(
        /^The sandbox died/,
      );
      const next = await provision('suicide');
      expect(next.id).not.toBe(made.id);
    });

    it('that is released is gone for good, and may be released again', async () => {
      const made = await provision('leaver');
      await hands.release(made);
      await expect(bash(hands, made, 'true')).rejects.toBeInstanceOf(HandGoneError);
      expect((await hands.list()).map(({ key }) => key)).not.toContain('leaver');
      await hands.release(made);
    });

    it('that nobody wants is reaped', async () => {
      const made = await provision('unwanted');
      const reaped = await reapHands(hands, ({ key }) => key !== 'unwanted');
      expect(reaped).toEqual([{ hand: made, key: 'unwanted' }]);
      await expect(bash(hands, made, 'true')).rejects.toBeInstanceOf(HandGoneError);
      expect(text(await bash(hands, hand, 'echo alive'))).toBe('alive');
    });

    it('of another kind is refused as gone, and left alone when released', async () => {
      await hands.release({ ...hand, kind: 'other' });
      await expect(bash(hands, { ...hand, kind: 'other' }, 'true')).rejects.toBeInstanceOf(HandGoneError);
    });
  });

  describe('a snapshot', () => {
    const FILL =
      'mkdir -p a/b; echo one > a/f; cp a/f a/b/same; : > empty; ln -s a/f link; ln -s /etc/passwd out; ' +
      'chmod 750 a/f; head -c 3000000 /dev/zero > large; mkfifo pipe; chmod 555 a';
    const SHOW =
      'find . -mindepth 1 ! -name pipe -printf "%p %y %m %s %l\\n" | sort; cat a/f a/b/same; cksum large';

    it('is laid out in another hand as it was, and both go on alone', async () => {
      const store = createMemoryStore();
      await bash(hands, hand, FILL);
      const shown = text(await bash(hands, hand, SHOW));
      const { id, bytes } = await hands.snapshot(hand, store, never);
      expect(bytes).toBe(3_000_008);
      const other = await provision('restored');
      await hands.restore(other, id, store, never);
      await hands.restore(other, id, store, never);
      expect(text(await bash(hands, other, SHOW))).toBe(shown);
      // All of it is the tools' own.
      expect(await bash(hands, other, 'chmod 700 a; echo two > a/f; rm large')).toMatchObject({
        isError: false,
      });
      expect(text(await bash(hands, hand, SHOW))).toBe(shown);
      await bash(hands, hand, 'chmod 755 a');
    });

    it('is the same one for the same files, and adds nothing', async () => {
      const store = createMemoryStore();
      const fresh = await provision('same');
      await bash(hands, fresh, 'echo one > f');
      const first = await hands.snapshot(fresh, store, never);
      expect(first.addedBytes).toBeGreaterThan(4);
      expect(await hands.snapshot(fresh, store, never)).toMatchObject({ id: first.id, addedBytes: 0 });
      const fromElsewhere = fromRecipe(kind.recipe);
      expect(await fromElsewhere.snapshot(fresh, store, never)).toMatchObject({
        id: first.id,
        bytes: 4,
        addedBytes: 0,
      });
      await bash(hands, fresh, 'echo two > f');
      const second = await hands.snapshot(fresh, store, never);
      expect(second.id).not.toBe(first.id);
      expect(second.takenUs).toBeGreaterThan(first.takenUs);
    });

    it('is not there of what tools may not read, and the reason names it', async () => {
      const fresh = await provision('unreadable');
      await bash(hands, fresh, 'echo x > shut; chmod 000 shut');
      const taken = hands.snapshot(fresh, createMemoryStore(), never);
      await expect(taken).rejects.toBeInstanceOf(NoSnapshotError);
      await expect(taken).rejects.toThrow('"shut" cannot be read (EACCES)');
    });

    it('is not laid out in a hand in which a call has run, also by another process', async () => {
      const store = createMemoryStore();
      await bash(hands, hand, 'echo one > f');
      const { id } = await hands.snapshot(hand, store, never);
      const used = await provision('used');
      await bash(hands, used, 'echo mine > f');
      await hands.suspendAll(AbortSignal.timeout(30_000));
      await expect(hands.restore(used, id, store, never)).rejects.toThrow('a call has run in it already');
      expect(text(await bash(hands, used, 'cat f'))).toBe('mine');
    });

    it('has what a suspended hand kept', async () => {
      const store = createMemoryStore();
      const fresh = await provision('suspended with files');
      await bash(hands, fresh, 'echo one > f');
      const before = await hands.snapshot(fresh, store, never);
      await hands.suspendAll(AbortSignal.timeout(30_000));
      const after = await hands.snapshot(fresh, store, never);
      expect(after).toMatchObject({ id: before.id, addedBytes: 0 });
      expect(after.takenUs).toBeGreaterThan(before.takenUs);
    });

    it('that is aborted rejects with the reason; the hand goes on', async () => {
      const reason = new Error('enough');
      const store = { ...createMemoryStore(), has: () => new Promise<never>(() => undefined) };
      const controller = new AbortController();
      await bash(hands, hand, 'echo one > f');
      const taken = hands.snapshot(hand, store, { signal: controller.signal });
      controller.abort(reason);
      await expect(taken).rejects.toBe(reason);
      expect(text(await bash(hands, hand, 'cat f'))).toBe('one');
    });

    it('cannot be had of a hand that is gone', async () => {
      const gone = await provision('gone with its files');
      await bash(hands, gone, 'echo one > f');
      await kind.kill(gone);
      await expect(hands.snapshot(gone, createMemoryStore(), never)).rejects.toBeInstanceOf(HandGoneError);
      const store = createMemoryStore();
      await store.put([Buffer.from(toManifest([]))]);
      const [empty] = store.puts;
      await expect(hands.restore(gone, empty ?? '', store, never)).rejects.toBeInstanceOf(HandGoneError);
    });
  });

  describe('a suspended hand', () => {
    const suspendAll = (): Promise<void> => hands.suspendAll(AbortSignal.timeout(PROMPTLY_MS));

    it('keeps its files and its reference, but not its shell', async () => {
      const made = await provision('sleeper');
      await bash(hands, made, 'mkdir deep && cd deep && export COLOUR=blue && echo kept > f');
      await run(hands, made, 'write', { file_path: '/mnt/session/outputs/o', content: 'kept too' });
      expect(await kind.processes(made)).not.toEqual([]);
      await suspendAll();
      expect(await kind.processes(made)).toEqual([]);
      expect((await hands.list()).filter(({ key }) => key === 'sleeper')).toEqual([
        { hand: made, key: 'sleeper' },
      ]);
      expect(text(await bash(hands, made, 'pwd; echo "[$COLOUR]"'))).toBe('/workspace\n[]');
      expect(text(await bash(hands, made, 'cat deep/f /mnt/session/outputs/o'))).toBe('kept\nkept too');
      expect(await provision('sleeper')).toEqual(made);
    });

    it('comes back when it is provisioned again, time after time', async () => {
      const made = await provision('dozer');
      for (const round of ['x', 'xx', 'xxx']) {
        await bash(hands, made, 'printf x >> f');
        await suspendAll();
        await suspendAll();
        expect(await provision('dozer')).toEqual(made);
        expect(text(await bash(hands, made, 'cat f'))).toBe(round);
      }
    });

    it('says of a call that was running that its outcome is unknown, and does not run it again', async () => {
      const made = await provision('interrupted');
      const one = { id: freshId(), name: 'bash', input: { command: 'echo x >> f; sleep 300' } };
      const ended = { id: freshId(), name: 'bash', input: { command: 'echo done' } };
      await hands.execute(made, ended, never);
      const first = startCaller(kind.recipe, { do: 'execute', hand: made, call: one });
      const firstEnded = once(first, 'close');
      await untilFile(hands, made, 'f');
      first.kill('SIGKILL');
      await firstEnded;
      await suspendAll();
      for (let round = 0; round < 2; round += 1) {
        const outcome = await hands.execute(made, one, never);
        expect(outcome.isError).toBe(true);
        expect(text(outcome)).toContain('The outcome of this bash call is unknown');
      }
      expect(text(await hands.execute(made, ended, never))).toBe('done');
      expect(text(await bash(hands, made, 'cat f'))).toBe('x');
    });

    it('is one sandbox when several processes resume it at once', async () => {
      const made = await provision('wanted');
      await bash(hands, made, 'echo kept > f');
      await suspendAll();
      const task = (command: string): Task => ({
        do: 'execute',
        hand: made,
        call: { id: freshId(), name: 'bash', input: { command } },
      });
      const [one, two, three, again] = await Promise.all([
        call<ToolOutcome>(kind.recipe, task('cat f; readlink /proc/self/ns/pid')),
        call<ToolOutcome>(kind.recipe, task('cat f; readlink /proc/self/ns/pid')),
        bash(hands, made, 'cat f; readlink /proc/self/ns/pid'),
        call<HandRef>(kind.recipe, { do: 'provision', key: 'wanted' }),
      ]);
      expect(text(one)).toMatch(/^kept\n/);
      expect([text(two), text(three)]).toEqual([text(one), text(one)]);
      expect(again).toEqual(made);
      expect((await hands.list()).filter(({ key }) => key === 'wanted')).toHaveLength(1);
    });

    it('that dies after it was resumed is gone like any other', async () => {
      const made = await provision('unlucky');
      await suspendAll();
      await bash(hands, made, 'true');
      await kind.kill(made);
      await expect(bash(hands, made, 'true')).rejects.toBeInstanceOf(HandGoneError);
      expect((await provision('unlucky')).id).not.toBe(made.id);
    });

    it('is not what a hand is that was dead before', async () => {
      const made = await provision('dead');
      await kind.kill(made);
      await until('its end', async () => (await kind.processes(made)).length === 0);
      await suspendAll();
      await expect(bash(hands, made, 'true')).rejects.toBeInstanceOf(HandGoneError);
      expect((await provision('dead')).id).not.toBe(made.id);
    });

    it('is freed by a release, and by the reaper', async () => {
      const [released, reaped] = [await provision('released'), await provision('reaped')];
      await suspendAll();
      await hands.release(released);
      await expect(bash(hands, released, 'true')).rejects.toBeInstanceOf(HandGoneError);
      expect(await reapHands(hands, ({ key }) => key !== 'reaped')).toEqual([
        { hand: reaped, key: 'reaped' },
      ]);
      await expect(bash(hands, reaped, 'true')).rejects.toBeInstanceOf(HandGoneError);
      const keys = (await hands.list()).map(({ key }) => key);
      expect(keys).not.toContain('released');
      expect(keys).not.toContain('reaped');
    });
  });

  describe('an idle hand', () => {
    const suspendIdle = (made: HandRef, quietMs = 0): Promise<boolean> =>
      hands.suspendIdle(made, { quietMs, signal: AbortSignal.timeout(20_000) });
    const isRunning = async (made: HandRef): Promise<boolean> =>
      (await hands.listRunning()).some(({ hand: { id } }) => id === made.id);
    const end = async (child: ChildProcess): Promise<void> => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'close');
      child.kill('SIGKILL');
      await ended;
    };

    it('is suspended with all that runs in it, and the next call finds its files', async () => {
      const made = await provision('idler');
      await bash(hands, made, 'mkdir deep && cd deep && echo kept > f; sleep 300 & setsid sleep 300 &');
      expect(await isRunning(made)).toBe(true);
      expect(await suspendIdle(made)).toBe(true);
      expect(await kind.processes(made)).toEqual([]);
      expect(await isRunning(made)).toBe(false);
      expect((await hands.list()).filter(({ key }) => key === 'idler')).toHaveLength(1);
      expect(text(await bash(hands, made, 'pwd; cat deep/f'))).toBe('/workspace\nkept');
      expect(await isRunning(made)).toBe(true);
    });

    it('is suspended time after time, and is the same when it is provisioned again', async () => {
      const made = await provision('napper');
      for (const round of ['x', 'xx', 'xxx']) {
        await bash(hands, made, 'printf x >> f');
        expect(await suspendIdle(made)).toBe(true);
        expect(await provision('napper')).toEqual(made);
        expect(text(await bash(hands, made, 'cat f'))).toBe(round);
      }
    });

    it('is not started to be suspended, nor is one that is gone', async () => {
      const made = await provision('asleep');
      expect(await suspendIdle(made)).toBe(true);
      expect(await suspendIdle(made)).toBe(false);
      expect(await kind.processes(made)).toEqual([]);
      await hands.release(made);
      expect(await suspendIdle(made)).toBe(false);
      expect(await suspendIdle({ ...made, kind: 'other' })).toBe(false);
    });

    it('is not one in which a call is under way: that one ends as if nobody had asked', async () => {
      const made = await provision('busy');
      const pending = bash(hands, made, 'cd /tmp; touch f; until [ -e go ]; do sleep 0.02; done; echo went');
      await untilFile(hands, made, '/tmp/f');
      for (let round = 0; round < 3; round += 1) expect(await suspendIdle(made)).toBe(false);
      await run(hands, made, 'write', { file_path: '/tmp/go', content: '' });
      expect(await pending).toEqual({ content: [{ type: 'text', text: 'went' }], isError: false });
      expect(text(await bash(hands, made, 'pwd'))).toBe('/tmp');
    });

    it('is not one that had a call lately, or has only just been started', async () => {
      const made = await provision('lately');
      await bash(hands, made, 'cd /tmp');
      expect(await suspendIdle(made, 3_600_000)).toBe(false);
      expect(text(await bash(hands, made, 'pwd'))).toBe('/tmp');
    });

    it('goes on at once when whoever is about to suspend it dies', async () => {
      const made = await provision('spared');
      await bash(hands, made, 'cd /tmp');
      const holder = startCaller(kind.recipe, { do: 'hold', hand: made });
      const lines = linesOf(holder);
      await until('the hold', async () => lines().length > 0);
      expect(lines()).toEqual(['"held"']);
      expect(await suspendIdle(made)).toBe(false);
      const held = bash(hands, made, 'pwd');
      await end(holder);
      expect(text(await held)).toBe('/tmp');
    });

    it('goes on by itself when whoever is about to suspend it takes too long, and is not ended by it then', async () => {
      const made = await provision('forgotten');
      await bash(hands, made, 'cd /tmp');
      const connection = await createConnection(await openLine(kind.presentLife(made)));
      expect(await connection.hold(0)).toBe(true);
      expect(text(await bash(hands, made, 'pwd'))).toBe('/tmp');
      expect(await connection.end()).toBe(false);
      expect(text(await bash(hands, made, 'pwd'))).toBe('/tmp');
      connection.close();
    });

    it('carries out a call once, afterwards, that comes while it is being suspended', async () => {
      const made = await provision('awaited');
      const life = kind.presentLife(made);
      await bash(hands, made, 'echo kept > f');
      for (let round = 1; round <= 3; round += 1) {
        const calls: Promise<ToolOutcome>[] = [];
        const note = async (): Promise<string | undefined> => {
          const input = { command: `pwd; cat f; echo ${round} >> log; wc -l < log` };
          const one = { id: freshId(), name: 'bash', input };
          calls.push(hands.execute(made, one, never), hands.execute(made, one, never));
          // A runner that has greeted another line by then has most likely got them. What follows holds anyhow.
          (await createConnection(await openLine(life))).close();
          return life.note();
        };
        expect(await suspendIfIdle({ ...life, note }, { quietMs: 0, signal: never.signal })).toBe(true);
        const outcome = { content: [{ type: 'text', text: `/workspace\nkept\n${round}` }], isError: false };
        expect(await Promise.all(calls)).toEqual([outcome, outcome]);
        await bash(hands, made, 'cd /tmp');
      }
    });

    it('may be released, suspended and provisioned at once', async () => {
      for (let round = 0; round < 5; round += 1) {
        const made = await provision('contended');
        await bash(hands, made, `echo ${round} > f`);
        const [again] = await Promise.all([provision('contended'), suspendIdle(made), suspendIdle(made)]);
        expect(again).toEqual(made);
        expect(text(await bash(hands, made, 'cat f'))).toBe(String(round));
        await Promise.all([suspendIdle(made), hands.release(made), suspendIdle(made)]);
        expect((await hands.list()).filter(({ key }) => key === 'contended')).toEqual([]);
      }
    });

    it('loses no call, runs none twice and fails none, however many come while it is being suspended', async () => {
      const { quietMs } = kind;
      const made = await provision('stormy');
      const workers = [hands, fromRecipe(kind.recipe), fromRecipe(kind.recipe)];
      const other = startCaller(kind.recipe, { do: 'suspend', hand: made, quietMs });
      const [heard, ids] = [linesOf(other), [] as string[]];
      let [suspensions, isOver] = [0, false];
      const life = kind.presentLife(made);
      const slowly: PresentLife = { ...life, note: () => sleep(20).then(life.note) };
      const suspending = suspendOverAndOver(() => suspendIfIdle(slowly, { quietMs, signal: never.signal }), {
        isOver: () => isOver,
        onSuspended: () => void (suspensions += 1),
      });
      const callLate = async (worker: ListableHands, id: string, afterMs: number): Promise<ToolOutcome> => {
        ids.push(id);
        await sleep(afterMs);
        const input = { command: `echo ${id} >> log; echo ${id}` };
        return worker.execute(made, { id, name: 'bash', input }, never);
      };
      try {
        for (let round = 0; round < ROUNDS; round += 1) {
          const before = suspensions + heard().length;
          const isAfter = round % 2 === 1;
          if (isAfter) await until('a suspension', async () => suspensions + heard().length > before);
          // In the other rounds from a little before a suspension may come to when it is over.
          const beginMs = isAfter ? 0 : quietMs + (round - 2) * 10;
          const burst = Array.from({ length: 9 }, (_, at) =>
            callLate(workers[at % 3] ?? hands, `r${round}c${at}`, beginMs + at * 15),
          );
          expect((await Promise.all(burst)).map((outcome) => [outcome.isError, text(outcome)])).toEqual(
            ids.slice(-burst.length).map((id) => [false, id]),
          );
        }
        expect(other.exitCode).toBeNull();
      } finally {
        isOver = true;
        await Promise.all([suspending, end(other)]);
      }
      expect(text(await bash(hands, made, 'sort log'))).toBe(ids.toSorted().join('\n'));
      expect((await hands.list()).filter(({ key }) => key === 'stormy')).toHaveLength(1);
    });
  });
}

async function openLine(life: PresentLife): Promise<Duplex> {
  const stream = await life.open();
  if (stream === undefined) throw new Error('the hand does not run');
  return stream;
}

/** Collects what a process says. */
function linesOf(child: ChildProcess): () => string[] {
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
  return () => output.split('\n').slice(0, -1);
}

/** The command lines of all processes but the one that lists them. */
const LIST_COMMANDS = 'for p in /proc/[0-9]*/cmdline; do tr "\\0" " " < $p 2> /dev/null; echo; done';
