/**
 * Suspending one hand that nobody uses, without harm to a call that comes at the same moment. Whether one has come
 * only the runner knows, so the runner ends itself: it holds back what comes while the suspension is being noted, and
 * what was held back is asked for again by its link when the line breaks.
 */
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionLostError, createConnection } from './connection.ts';

/** When a hand counts as idle, and how long it is tried. */
export interface IdleOptions {
  /** How long it must have had no call; its start counts as one. */
  readonly quietMs: number;
  readonly signal: AbortSignal;
}

/** How a kind of hand reaches the present life of a hand, without beginning another. */
export interface PresentLife {
  /** Opens a stream to the runner. Undefined when none runs. */
  open(): Promise<Duplex | undefined>;
  /**
   * Notes that the end of the life that runs now is a suspension, and names it; undefined when none runs. It must not
   * take an earlier note back: somebody may be about to read it.
   */
  note(): Promise<string | undefined>;
  /** Whether nothing of a life runs any more. */
  isOver(life: string): Promise<boolean>;
}

/** A runner that has ended takes everything in the hand with it; this is for a machine with much else to do. */
const END_PATIENCE_MS = 10_000;
const POLL_MS = 20;

/** Carries out `suspendIdle` of the port. */
export async function suspendIfIdle(life: PresentLife, { quietMs, signal }: IdleOptions): Promise<boolean> {
  signal.throwIfAborted();
  const stream = await life.open();
  if (stream === undefined) return false;
  const cut = (): void => void stream.destroy();
  signal.addEventListener('abort', cut, { once: true });
  if (signal.aborted) cut();
  try {
    return await endHeld(life, stream, { quietMs, signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ConnectionLostError) return false;
    throw error;
  } finally {
    signal.removeEventListener('abort', cut);
    stream.destroy();
  }
}

/** In this order: what is noted is the life that is held or a later one, and only the one that is held can end. */
async function endHeld(
  life: PresentLife,
  stream: Duplex,
  { quietMs, signal }: IdleOptions,
): Promise<boolean> {
  const connection = await createConnection(stream);
  if (!(await connection.hold(quietMs))) return false;
  const noted = await life.note();
  if (noted === undefined || !(await connection.end())) return false;
  const deadlineMs = performance.now() + END_PATIENCE_MS;
  while (!(await life.isOver(noted))) {
    signal.throwIfAborted();
    if (performance.now() > deadlineMs) return false;
    await sleep(POLL_MS);
  }
  return true;
}
