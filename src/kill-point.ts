/**
 * Points at which a process kills itself when it is told to, so that tests see what is left by one that died just
 * there. Without the setting there are no points: every port stays the object that it is.
 */
import { readFileSync, renameSync } from 'node:fs';
import process from 'node:process';

/** What can be died before and after of: what leaves something durable, or has cost something that is not durable yet. */
export const KILL_ACTS = [
  // A session's row is written.
  'record',
  // A session is given to its engine.
  'start',
  // A client's events are.
  'emit',
  // A harness of the log engine writes.
  'append',
  'blob',
  // An operation, as a worker reports it.
  'operation',
  // A model request.
  'answer',
  // A tool call in its hand.
  'tool',
  // A hand is made.
  'hand',
  // What is over goes into the archive: a run, or a stretch of what the log engine wrote.
  'seal',
  // A step of a session whose workflow was stopped from outside.
  'revive',
  // A session is made of another one's log.
  'bear',
  // A step from one engine to the other.
  'move',
] as const;

/** One of them. */
export type KillAct = (typeof KILL_ACTS)[number];

/** A point's name. */
export type KillPointName = `${'before' | 'after'} ${KillAct}`;

/** Passes a point. Does not return where this process is to die there. */
export type KillPoint = (name: KillPointName) => void;

/**
 * Opens the points that a file arms: a process that passes the point whose name is in the file takes it away, as
 * `<file>.<pid>`, and dies by SIGKILL. Of several that pass it at once only one dies. No file: nobody does.
 */
export function openKillPoint(file: string | undefined): KillPoint | undefined {
  if (file === undefined) return undefined;
  return (name) => {
    if (unlessMissing(() => readFileSync(file, 'utf8').trim()) !== name) return;
    const isMine = unlessMissing(() => {
      renameSync(file, `${file}.${process.pid}`);
      return true;
    });
    if (isMine === true) process.kill(process.pid, 'SIGKILL');
  };
}

/** Puts points around some methods of a port, all of them asynchronous. Without points it is the port itself. */
export function withKillPoints<P extends object>(
  killPoint: KillPoint | undefined,
  port: P,
  acts: { readonly [Method in keyof P]?: KillAct },
): P {
  if (!killPoint) return port;
  const wrapped = Object.entries(acts as Record<string, KillAct>).map(([method, act]) => {
    const call = port[method as keyof P] as (...args: unknown[]) => Promise<unknown>;
    const around = async (...args: unknown[]): Promise<unknown> => {
      killPoint(`before ${act}`);
      const answer = await call(...args);
      killPoint(`after ${act}`);
      return answer;
    };
    return [method, around] as const;
  });
  return { ...port, ...Object.fromEntries(wrapped) };
}

function unlessMissing<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
