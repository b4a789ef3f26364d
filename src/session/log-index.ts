/**
 * What is kept of every entry of a log, however long that is: a few bytes in columns, enough to say which entries a
 * page or a slice consists of. Content is read when it is shown.
 */
import type { Entry } from '../log.ts';
import { parseMicros } from '../wire/time.ts';

/** The index. Positions are from 0 to `length`, without holes. */
export interface LogIndex {
  readonly length: number;
  /** Takes in the entry that follows. */
  add(entry: Entry): void;
  typeAt(position: number): string;
  /** In microseconds; undefined: it stands there as queued. */
  timeUsAt(position: number): number | undefined;
  /** Of an entry that says that an event was taken up: where that was queued; else undefined. */
  originOf(position: number): number | undefined;
  /** Positions of queued events that have not been taken up, in order. */
  waiting(): readonly number[];
  /** The last entry of a type; -1: there is none. */
  lastOf(type: string): number;
  /** Which of these types there are at all: a test by position that costs one look. */
  among(types: readonly string[]): (position: number) => boolean;
}

/** Makes an index of an empty log. */
export function createLogIndex(): LogIndex {
  const types = new Map<string, number>();
  const names: string[] = [];
  const last: number[] = [];
  const queued = new Map<string, number>();
  const columns = { type: new Uint16Array(64), time: new Float64Array(64), origin: new Int32Array(64) };
  let length = 0;

  function codeOf(type: string): number {
    const known = types.get(type);
    if (known !== undefined) return known;
    const code = names.push(type) - 1;
    types.set(type, code);
    return code;
  }

  function grow(): void {
    const size = columns.type.length * 2;
    columns.type = copied(new Uint16Array(size), columns.type);
    columns.time = copied(new Float64Array(size), columns.time);
    columns.origin = copied(new Int32Array(size), columns.origin);
  }

  return {
    get length() {
      return length;
    },
    add({ event: { id, type, processed_at: at } }) {
      if (length === columns.type.length) grow();
      const code = codeOf(type);
      columns.type[length] = code;
      columns.time[length] = at === null ? Number.NaN : parseMicros(at);
      columns.origin[length] = (at === null ? undefined : queued.get(id)) ?? -1;
      if (at === null) queued.set(id, length);
      else queued.delete(id);
      last[code] = length;
      length += 1;
    },
    typeAt: (position) => names[columns.type[position] ?? -1] ?? '',
    timeUsAt(position) {
      const time = columns.time[position];
      return time === undefined || Number.isNaN(time) ? undefined : time;
    },
    originOf(position) {
      const origin = columns.origin[position] ?? -1;
      return origin === -1 ? undefined : origin;
    },
    waiting: () => [...queued.values()],
    lastOf: (type) => last[types.get(type) ?? -1] ?? -1,
    among(wanted) {
      const codes = new Set(wanted.flatMap((type) => types.get(type) ?? []));
      return (position) => codes.has(columns.type[position] ?? -1);
    },
  };
}

function copied<T extends Uint16Array | Float64Array | Int32Array>(into: T, from: T): T {
  into.set(from);
  return into;
}
