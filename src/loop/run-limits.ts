/** How long a run's history becomes before its session goes on in another run. */
export interface RunLimits {
  /** History events. */
  readonly events: number;
  readonly bytes: number;
}

/** So long a history is replayed within a second or two by a worker that has never seen it (docs/adr/0023). */
export const RUN_LIMITS: RunLimits = { events: 1500, bytes: 2 * 1024 * 1024 };
