/** The reading half of the sessions port, over a history that the test writes by hand. */
import type { Sessions } from '../../src/session.ts';
import { selectSlice } from '../../src/session/listing.ts';
import { createHistoryCursor } from '../../src/engine/temporal/history-cursor.ts';
import { createReader } from '../../src/session/reader.ts';
import { tail } from '../../src/session/tail.ts';
import type { FakeSource } from './history.ts';

/** Sessions that all have this one log. */
export function readSessions(source: FakeSource): Sessions {
  const reader = createReader(createHistoryCursor(source));
  const half: Pick<Sessions, 'getSession' | 'getEvents' | 'follow'> = {
    async getSession() {
      await reader.sync();
      if (!reader.view) throw new Error('sync answers only when there is a view');
      return reader.view;
    },
    async getEvents(_, slice = {}) {
      await reader.sync();
      return await reader.at(selectSlice(reader.index, slice));
    },
    async follow(_, signal, position) {
      await reader.sync();
      const from = position ?? reader.index.length;
      return { from, entries: tail(reader, from, signal, async (entries) => entries) };
    },
  };
  return half as Sessions;
}
