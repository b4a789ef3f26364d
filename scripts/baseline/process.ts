/** The plain program seen from outside: started, asked, killed; and what a kill leaves behind is put away. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { createBubblewrapHands } from '../../src/hands/bubblewrap.ts';

/** What the program can be asked. */
type Request =
  | { readonly ask: 'create' }
  | { readonly ask: 'turn'; readonly session: string; readonly text: string }
  /** How many messages a conversation has. */
  | { readonly ask: 'count'; readonly session: string };

/** A request on its way, with the number that its answer goes to. */
export type Question = Request & { readonly number: number };

/** What it answers; every question is answered once, or never if it dies. */
export type Answer =
  | { readonly to: number; readonly found: string | number | TurnTimes }
  | { readonly to: number; readonly failed: string };

/** From the call to the first text, and to the end of the turn. */
export interface TurnTimes {
  readonly firstTextMs: number;
  readonly idleMs: number;
}

/** The program, and the folder that its sandboxes are in. */
export interface Program {
  readonly dataDir: string;
  readonly pid: number;
  create(): Promise<string>;
  turn(session: string, text: string): Promise<TurnTimes>;
  countMessages(session: string): Promise<number>;
  /** SIGKILL. Whoever waits for an answer gets ProgramDiedError. */
  kill(): Promise<void>;
  /** Starts it again: the same program, which knows nothing of before. */
  restart(): Promise<void>;
  /** How many sandboxes there are, with or without a program that knows them. */
  countHands(): Promise<number>;
  /** Ends it, and removes its sandboxes and files. */
  stop(): Promise<void>;
}

/** The program died with the question open. */
export class ProgramDiedError extends Error {
  override readonly name = 'ProgramDiedError';
}

const PROGRAM = fileURLToPath(new URL('program.ts', import.meta.url));

/** Starts the program on a folder of its own, with a model at this address. */
export async function startProgram(modelUrl: string): Promise<Program> {
  const dataDir = await mkdtemp(join(tmpdir(), 'drover-baseline-'));
  const hands = createBubblewrapHands({ dataDir, nodePath: process.execPath });
  const open = new Map<number, PromiseWithResolvers<unknown>>();
  let child: ChildProcess | undefined;
  let number = 0;

  const start = async (): Promise<void> => {
    const started = fork(PROGRAM, [modelUrl, dataDir], {
      execArgv: ['--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    child = started;
    started.on('message', (message: Answer) => {
      const asked = open.get(message.to);
      open.delete(message.to);
      if ('failed' in message) asked?.reject(new Error(message.failed));
      else asked?.resolve(message.found);
    });
    started.once('exit', () => {
      for (const asked of open.values()) asked.reject(new ProgramDiedError('the program died'));
      open.clear();
    });
    await once(started, 'spawn');
  };
  const ask = async <T>(request: Request): Promise<T> => {
    if (!child?.connected) throw new ProgramDiedError('the program is not running');
    number += 1;
    const asked = Promise.withResolvers<unknown>();
    open.set(number, asked);
    child.send({ ...request, number } satisfies Question);
    return (await asked.promise) as T;
  };
  const kill = async (): Promise<void> => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };

  await start();
  return {
    dataDir,
    get pid() {
      return child?.pid ?? 0;
    },
    create: () => ask({ ask: 'create' }),
    turn: (session, text) => ask({ ask: 'turn', session, text }),
    countMessages: (session) => ask({ ask: 'count', session }),
    kill,
    restart: start,
    countHands: async () => (await hands.list()).length,
    async stop() {
      await kill();
      for (const { hand } of await hands.list()) await hands.release(hand);
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
