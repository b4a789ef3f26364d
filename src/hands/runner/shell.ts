/**
 * The bash tool of the SDK, with three things added around it: all of the output instead of its end, nothing left
 * running after an abort or a timeout, and a syntax error that is reported instead of waited for.
 */
import { writeFile } from 'node:fs/promises';
import type { ToolOutcome } from '../../hands.ts';
import type { OutputPipe } from './output-pipe.ts';
import { countOomKills } from './memory.ts';
import { killSince, noteProcesses } from './processes.ts';
import type { Spool } from './spool.ts';

const DEFAULT_TIMEOUT_MS = 120_000;
/** Beyond it a timer fires at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
const TIMER_SLACK_MS = 50;

/** What the SDK's tool gave or said when it failed. */
export interface ToolText {
  readonly text: string;
  readonly isError: boolean;
}

/** What the shell stands on. */
export interface ShellOptions {
  /** Runs the SDK's bash tool. */
  readonly run: (input: Readonly<Record<string, unknown>>, signal: AbortSignal) => Promise<ToolText>;
  readonly pipe: OutputPipe;
  /** Where a command is put for the shell to read. */
  readonly scriptPath: string;
  readonly createSpool: (callId: string) => Spool;
  /** True where every process that /proc shows belongs to this hand. */
  readonly alone: boolean;
}

/** One call of the bash tool. */
export type Shell = (
  callId: string,
  input: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
) => Promise<ToolOutcome>;

/** One persistent shell; calls queue one after another. */
export function createShell(options: ShellOptions): Shell {
  let queue: Promise<unknown> = Promise.resolve();
  return (callId, input, signal) => {
    let begun = false;
    const dropped = new Promise<ToolOutcome>((resolve) => {
      const drop = (): void => resolve(toOutcome('bash: aborted before it began', true));
      signal.addEventListener('abort', () => !begun && drop(), { once: true });
    });
    const turn = queue.then(() => {
      // The SDK's tool would end the shell, and with it what other calls left there, for a call that never began.
      if (signal.aborted) return dropped;
      begun = true;
      return runOne(options, callId, input, signal);
    });
    queue = turn.catch(() => undefined);
    return Promise.race([turn, dropped]);
  };
}

async function runOne(
  options: ShellOptions,
  callId: string,
  input: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<ToolOutcome> {
  const { command } = input;
  const timeoutMs = input['timeout_ms'] ?? DEFAULT_TIMEOUT_MS;
  if (typeof timeoutMs !== 'number' || !(timeoutMs > 0))
    return toOutcome('bash: timeout_ms must be a positive number', true);
  if (typeof command !== 'string' || command === '') {
    const { text, isError } = await options.run(input, signal);
    return toOutcome(text, isError);
  }

  await writeFile(options.scriptPath, command, { mode: 0o600 });
  const before = noteProcesses();
  const oomKills = await countOomKills();
  const spool = options.createSpool(callId);
  await options.pipe.attach((text) => spool.add(text));
  const startedAtMs = performance.now();
  const wrapped = {
    ...input,
    command: wrap(options.scriptPath, options.pipe.path),
    timeout_ms: Math.min(timeoutMs, MAX_TIMEOUT_MS),
  };
  const result = await options.run(wrapped, signal);
  const ranMs = performance.now() - startedAtMs;
  const timedOut = result.isError && !isExitCode(result.text) && ranMs >= timeoutMs - TIMER_SLACK_MS;
  const cutShort = signal.aborted || timedOut;
  if (cutShort) await killSince(before, options.alone);
  await options.pipe.detach();

  const parts = [spool.end()];
  if (result.isError) parts.push(toFailure(result.text, parts[0] !== ''));
  if (result.isError && (await countOomKills()) > oomKills) {
    parts.push('[a process was killed because the memory limit of the sandbox was reached]');
  }
  return toOutcome(parts.filter((part) => part !== '').join('\n'), result.isError);
}

/**
 * What to say of a failure besides the output: nothing where a command just exited with a code, as the output is
 * the message then; the SDK's words where the shell was ended.
 */
function toFailure(message: string, hasOutput: boolean): string {
  return hasOutput && isExitCode(message) ? '' : message;
}

function isExitCode(message: string): boolean {
  return /^exit -?\d+$/.test(message);
}

/**
 * The command is read from a file: there an unclosed quote is found at once, while text that is typed into the shell
 * makes it wait for the other quote until the timeout. (`eval` finds it too, but then bash 5.2 ends.)
 */
function wrap(scriptPath: string, pipePath: string): string {
  const preferAsVictim = '{ echo 500 > /proc/$$/oom_score_adj; } 2> /dev/null';
  return `${preferAsVictim}; { . ${quote(scriptPath)}\n} > ${quote(pipePath)} 2>&1`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function toOutcome(text: string, isError: boolean): ToolOutcome {
  return { content: text === '' ? [] : [{ type: 'text', text }], isError };
}
