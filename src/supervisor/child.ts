/** One run of a child process: from its start to its end. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, statSync, renameSync } from 'node:fs';
import { openLogFile, splitLines } from './log-file.ts';

/** What a process says of itself when it is ready. */
export interface ReadyInfo {
  /** Where it listens, when it does. */
  readonly port?: number;
}

/** A process to start. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** How a process tells that it works: by a message over the channel, or by answering a probe. */
export type Readiness = 'message' | ((signal: AbortSignal) => Promise<ReadyInfo>);

/** How a run ended. `readyForMs` is undefined when it never got ready. */
export interface Exit {
  readonly code: number | undefined;
  readonly cause: string;
  readonly readyForMs: number | undefined;
}

/** A process that runs, or did. */
export interface Child {
  readonly pid: number | undefined;
  readonly ended: Promise<Exit>;
  kill(signal: NodeJS.Signals): void;
}

/** What a child is started with, besides its command. */
export interface ChildOptions {
  readonly readiness: Readiness;
  readonly logFile: string;
  /** Gets what the child writes to stderr. */
  readonly onError: (line: string) => void;
  readonly onReady: (info: ReadyInfo) => void;
  /** A start that takes longer is ended. */
  readonly readyWithinMs: number;
}

/**
 * Starts a process in a group of its own, so that Ctrl-C in a terminal reaches only the supervisor, which stops the
 * others in order. Our own roles get a channel, by whose end they notice that the supervisor is gone. A foreign
 * program writes straight into its log file: a pipe would break with the supervisor, and kill it or worse.
 */
export function startChild(command: Command, options: ChildOptions): Child {
  return options.readiness === 'message' ? startRole(command, options) : startForeign(command, options);
}

function startRole(command: Command, options: ChildOptions): Child {
  const child = spawn(command.program, command.args, {
    env: command.env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const log = openLogFile(options.logFile);
  const out = splitLines((line) => log.write(line));
  const err = splitLines((line) => {
    log.write(line);
    options.onError(line);
  });
  child.stdout?.setEncoding('utf8').on('data', (chunk) => out.push(String(chunk)));
  child.stderr?.setEncoding('utf8').on('data', (chunk) => err.push(String(chunk)));
  child.once('close', () => {
    out.end();
    err.end();
    log.close();
  });
  return observe(child, options, (ready) => {
    child.on('message', (message) => {
      if (isReadyMessage(message)) ready(message);
    });
  });
}

function startForeign(command: Command, options: ChildOptions): Child {
  const log = openForAppending(options.logFile);
  const child = spawn(command.program, command.args, {
    env: command.env,
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  return observe(child, options, (ready) => {
    if (options.readiness === 'message' || child.pid === undefined) return;
    const probing = new AbortController();
    child.once('exit', () => probing.abort());
    // A probe that fails leaves the process unready; the time limit then ends it.
    options.readiness(probing.signal).then(ready, () => undefined);
  });
}

/** @param subscribe calls back once when the child is ready */
function observe(
  child: ChildProcess,
  options: ChildOptions,
  subscribe: (ready: (info: ReadyInfo) => void) => void,
): Child {
  let readyAt: number | undefined;
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, options.readyWithinMs);
  const { promise: ended, resolve } = Promise.withResolvers<Exit>();
  const end = (code: number | undefined, cause: string) => {
    clearTimeout(limit);
    resolve({ code, cause, readyForMs: readyAt === undefined ? undefined : Date.now() - readyAt });
  };
  child.once('error', (error) => {
    if (child.pid === undefined) end(undefined, error.message);
  });
  child.once('exit', (code, signal) => {
    const cause = late
      ? `not ready after ${options.readyWithinMs / 1000} s`
      : (signal ?? `exit code ${code}`);
    end(code ?? undefined, cause);
  });
  subscribe((info) => {
    if (readyAt !== undefined) return;
    readyAt = Date.now();
    clearTimeout(limit);
    options.onReady(info);
  });
  return { pid: child.pid, ended, kill: (signal) => void child.kill(signal) };
}

function isReadyMessage(message: unknown): message is ReadyInfo {
  return typeof message === 'object' && message !== null && 'ready' in message && message.ready === true;
}

const LARGEST_BYTES = 16 * 1024 * 1024;

function openForAppending(path: string): number {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size > LARGEST_BYTES) renameSync(path, `${path}.1`);
  return openSync(path, 'a', 0o600);
}
