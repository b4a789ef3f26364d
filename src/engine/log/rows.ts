/** Rows of the log's tables, as what they stand for: the same from every database. */
import type { Author, Draft } from '../../log.ts';
import type { Segment } from '../../session/segments.ts';
import { NOTHING } from './sql.ts';
import type { CarrierRow, Due, Head } from './store.ts';

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
    runId: String(row['run_id']),
    sha256: String(row['sha256']),
  };
}

/** A row of `log_carriers`. */
export function toCarrier(row: Row): CarrierRow {
  return {
    position: Number(row['position']),
    timeUs: Number(row['time_us']),
    author: row['author'] as Author,
    drafts: JSON.parse(String(row['drafts'])) as Draft[],
  };
}
