/** The runner itself, as a plain process without a sandbox around it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ToolCall, ToolOutcome } from '../../src/hands.ts';
import { createConnection } from '../../src/hands/connection.ts';
import { createLink, type Link } from '../../src/hands/link.ts';
import { findPayload } from '../../src/hands/payload.ts';
import { ENDED_ON_REQUEST } from '../../src/hands/runner/places.ts';

const RUNNER = fileURLToPath(new URL('../../src/hands/runner.ts', import.meta.url));
const never = { signal: new AbortController().signal };

let folder = '';
let runner: ChildProcess;
let link: Link;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-runner-'));
  for (const name of ['state', 'work', 'session', 'tmp']) await mkdir(join(folder, name));
  await start();
});
afterEach(async () => {
  await kill();
  await rm(folder, { recursive: true });
});

async function start(): Promise<void> {
  runner = spawn(process.execPath, [RUNNER, 'serve', ...places()], {
    env: { PATH: process.env['PATH'] },
    stdio: 'inherit',
  });
  await until(() =>
    open().then(
      (socket) => Boolean(socket.destroy()),
      () => false,
    ),
  );
  link = createLink({
    open,
    findCauseOfDeath: async () =>
      runner.signalCode === null && runner.exitCode === null ? undefined : 'The runner was killed.',
  });
}

async function open(): Promise<Duplex> {
  const socket = connect(join(folder, 'state', 'runner.sock'));
  await once(socket, 'connect');
  return socket;
}

async function kill(): Promise<void> {
  link.close();
  if (runner.exitCode !== null || runner.signalCode !== null) return;
  const ended = once(runner, 'exit');
  runner.kill('SIGKILL');
  await ended;
}

function places(): string[] {
  return ['state', 'session', 'tmp']
    .flatMap((name) => [`--${name}`, join(folder, name)])
    .concat('--workdir', join(folder, 'work'));
}

async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!(await isSo())) {
    if (performance.now() > deadlineMs) throw new Error('waited in vain');
    await sleep(10);
  }
}

function bash(command: string, id: string): ToolCall {
  return { id, name: 'bash', input: { command } };
}

function text({ content }: ToolOutcome): string {
  return content.map((block) => (block.type === 'text' ? block.text : '')).join('');
}

describe('the runner', () => {
  it('says honestly that it does not know what came of a call whose runner died', async () => {
    const call = bash('echo x >> f; until [ -e go ]; do sleep 0.02; done', 'call_1');
    const pending = link.execute(call, never).catch((error: unknown) => error);
    await until(() => existsSync(join(folder, 'work', 'f')));
    await kill();
    expect(await pending).toMatchObject({ name: 'HandGoneError', message: 'The runner was killed.' });
    await writeFile(join(folder, 'work', 'go'), '');

    await start();
    const outcome = await link.execute(call, never);
    expect(outcome.isError).toBe(true);
    expect(text(outcome)).toMatch(/outcome of this bash call is unknown/);
    expect(await readFile(join(folder, 'work', 'f'), 'utf8')).toBe('x\n');
  });

  it('answers finished calls from the journal after it was started anew', async () => {
    const call = bash(
      'echo x >> f; echo "it is fine"; exit_with() { return 4; }; exit_with',
      'an id / with $igns',
    );
    const outcome = await link.execute(call, never);
    expect(outcome).toEqual({ content: [{ type: 'text', text: 'it is fine' }], isError: true });
    await kill();
    await start();
    expect(await link.execute(call, never)).toEqual(outcome);
    expect(await readFile(join(folder, 'work', 'f'), 'utf8')).toBe('x\n');
  });

  it('takes a result that was cut short on the disk for unknown, not for an answer', async () => {
    const call = bash('echo x', 'call_1');
    await link.execute(call, never);
    await writeFile(join(folder, 'state', 'journal', 'call_1.end'), '{"id":"call_1","outc');
    expect(text(await link.execute(call, never))).toMatch(/unknown/);
  });

  it('keeps the call when its disk cannot take the start, and says so', async () => {
    await rm(join(folder, 'state', 'journal'), { recursive: true });
    const outcome = await link.execute(bash('touch ran', 'call_1'), never);
    expect(outcome.isError).toBe(true);
    expect(text(outcome)).toMatch(/not carried out/);
    expect(existsSync(join(folder, 'work', 'ran'))).toBe(false);
  });

  it('outside a sandbox, ends no process but its own', async () => {
    const bystander = spawn('sleep', ['300'], { stdio: 'ignore' });
    try {
      const call = {
        id: 'call_1',
        name: 'bash',
        input: { command: 'timeout 300 sleep 300', timeout_ms: 200 },
      };
      expect(await link.execute(call, never)).toMatchObject({ isError: true });
      expect(text(await link.execute(bash('ps -o args= --ppid $PPID', 'call_2'), never))).not.toContain(
        'timeout',
      );
      expect(bystander.exitCode ?? bystander.signalCode).toBeNull();
    } finally {
      bystander.kill();
    }
  });

  it('ends when its socket is removed and the last worker has left, for then nobody can find it', async () => {
    const ended = once(runner, 'exit');
    await link.ready();
    await rm(join(folder, 'state', 'runner.sock'));
    expect(text(await link.execute(bash('echo still here', 'call_1'), never))).toBe('still here');
    link.close();
    expect(await ended).toEqual([0, null]);
  });

  it('ends when its socket is removed while nobody is connected', async () => {
    const ended = once(runner, 'exit');
    await rm(join(folder, 'state', 'runner.sock'));
    expect(await ended).toEqual([0, null]);
  });

  it('holds calls back for whoever is about to end it, and ends without having begun them', async () => {
    const ended = once(runner, 'exit');
    const other = await createConnection(await open());
    expect(await other.hold(0)).toBe(true);
    const held = link.execute(bash('touch ran', 'call_1'), never).catch((error: unknown) => error);
    // Answered behind the call, on the same line.
    await link.ready();
    expect(await other.end()).toBe(true);
    expect(await ended).toEqual([ENDED_ON_REQUEST, null]);
    expect(await held).toBeInstanceOf(Error);
    expect(await readdir(join(folder, 'state', 'journal'))).toEqual([]);
    expect(existsSync(join(folder, 'work', 'ran'))).toBe(false);
  });

  it('goes on by itself when whoever held its calls is gone', async () => {
    const other = await createConnection(await open());
    expect(await other.hold(0)).toBe(true);
    const held = link.execute(bash('echo went on', 'call_1'), never);
    await link.ready();
    other.close();
    expect(text(await held)).toBe('went on');
  });

  it('does not end for somebody who does not hold its calls', async () => {
    const [one, other] = [await createConnection(await open()), await createConnection(await open())];
    expect(await one.end()).toBe(false);
    expect(await other.hold(0)).toBe(true);
    expect(await one.hold(0)).toBe(false);
    expect(await one.end()).toBe(false);
    one.close();
    expect(await other.end()).toBe(true);
  });

  it('does not hold calls in the middle of one', async () => {
    const pending = link.execute(bash('touch f; until [ -e go ]; do sleep 0.02; done', 'call_1'), never);
    await until(() => existsSync(join(folder, 'work', 'f')));
    const other = await createConnection(await open());
    expect(await other.hold(0)).toBe(false);
    expect(await other.end()).toBe(false);
    await writeFile(join(folder, 'work', 'go'), '');
    expect(await pending).toMatchObject({ isError: false });
    other.close();
  });

  it('is reached through the relay', async () => {
    const relay = spawn(process.execPath, [RUNNER, 'connect', ...places()], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const ended = once(relay, 'exit');
    const through = createLink({
      open: async () => Duplex.from({ readable: relay.stdout, writable: relay.stdin }),
      findCauseOfDeath: async () => 'dead',
    });
    expect(text(await through.execute(bash('echo hello', 'call_1'), never))).toBe('hello');
    through.close();
    await ended;
    expect(relay.exitCode).toBe(0);
  });
});

describe('the payload', () => {
  it('holds the runner and what it imports, and stays small', async () => {
    const { files, hash } = await findPayload();
    const paths = files.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining([
        'src/hands/runner.ts',
        'src/hands/runner/serve.ts',
        'node_modules/@anthropic-ai/sdk/package.json',
        'node_modules/@anthropic-ai/sdk/tools/agent-toolset/node.mjs',
      ]),
    );
    expect(
      paths.filter((path) => path.startsWith('..') || path.startsWith('/') || path.includes('dockerode')),
    ).toEqual([]);
    expect(paths.filter((path) => path.endsWith('.d.ts'))).toEqual([]);
    expect((await findPayload()).hash).toBe(hash);
  });
});
