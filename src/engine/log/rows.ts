/** Rows of the log's tables, as what they stand for: the same from every database. */
import type { Author, Draft } from '../../log.ts';
import { DamagedRowError } from '../../session.ts';
import type { Segment } from '../../session/segments.ts';
import { NO_RUN, NOTHING } from './sql.ts';
import type { CarrierRow, Due, Head, SegmentStore } from './store.ts';

/** A row as a driver gives it; a number may come as a text. */
export type Row = Readonly<Record<string, unknown>>;

/** A row of `log_heads`. */
export function toHead(row: Row): Head {
  return {
    length: Number(row['length']),
    epoch: Number(row['epoch']),
    holder: row['holder'] as string | null,
    due: Number(row['due']) > NOTHING,
    state: row['state'] as Head['state'],
    losses: Number(row['losses']),
    place: row['place'] as Head['place'],
    lives: Number(row['lives']),
    lastUs: Number(row['last_us']),
    nextRun: row['next_run'] as string | null,
    sealed: Number(row['sealed']),
    logId: row['log_id'] as string | null,
  };
}

/** A row of `log_heads` that something is due of. */
export function toDue(row: Row): Due {
  return { sessionId: String(row['session_id']), length: Number(row['length']) };
}

/** A row of `log_segments`. */
export function toSegment(row: Row): Segment {
  return {
    number: Number(row['number']),
    from: Number(row['from_position']),
    to: Number(row['to_position']),
    life: Number(row['life']),
    runId: row['run_id'] === NO_RUN ? undefined : String(row['run_id']),
    sha256: String(row['sha256']),
  };
}

/** Rows of heads that were looked at: each says how far that was, and names a session with something to seal, or none. */
export function toUnsealed(rows: readonly Row[]): Awaited<ReturnType<SegmentStore['unsealed']>> {
  const last = rows[0]?.['last'];
  return {
    ids: rows.flatMap(({ session_id: id }) => (typeof id === 'string' ? [id] : [])),
    last: typeof last === 'string' ? last : undefined,
  };
}

/**
 * A row of `log_carriers`.
 *
 * @throws {DamagedRowError} when it holds nothing that was ever written
 */
export function toCarrier(row: Row): CarrierRow {
  const position = Number(row['position']);
  return {
    position,
    timeUs: Number(row['time_us']),
    author: row['author'] as Author,
    drafts: toDrafts(String(row['drafts']), position),
  };
}

function toDrafts(text: string, position: number): Draft[] {
  try {
    const drafts: unknown = JSON.parse(text);
    if (Array.isArray(drafts) && drafts.length > 0) return drafts as Draft[];
  } catch {
    // As bad as anything else that is no list.
  }
  throw new DamagedRowError(position, `what was written at position ${position} cannot be read`);
}
