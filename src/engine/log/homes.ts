/** Where sessions live, as the heads of the log engine say it. */
import type { EngineName, Home, Homes } from '../../session/home.ts';
import { createDigest } from '../../session/segments.ts';
import { pagesOf } from '../../session/stretch.ts';
import type { Changes } from './changes.ts';
import { NO_RUN } from './sql.ts';
import type { Head, LogStore, Place } from './store.ts';

const GOES_TO: Readonly<Record<Place, EngineName | undefined>> = {
  here: undefined,
  leaving: 'temporal',
  sealed: 'temporal',
  away: undefined,
  coming: 'log',
  reviving: 'temporal',
};

/** Makes the port. Every change is announced: others may wait for it. */
export function createHomes(store: LogStore, changes: Changes): Homes {
  async function announced(id: string, change: Promise<void>): Promise<void> {
    await change;
    changes.announce(id);
  }

  return {
    read: (id, position, limit) => store.read(id, position, limit),
    readAt: (id, positions) => store.readAt(id, positions),
    async find(id) {
      const head = await store.head(id);
      return head && toHome(head);
    },
    async leave(id) {
      if (await store.sendAway(id)) changes.announce(id);
    },
    arrived: (id, life) => announced(id, store.arrived(id, life)),
    expect: (id) => announced(id, store.expect(id)),
    adopt: (id, life, carriers) => announced(id, store.adopt(id, life, carriers)),
    segments: (id) => store.segments(id),
    async seal(id, { life, after = null, runId, nextRunId = NO_RUN, base, carriers }) {
      const before = (await store.segments(id)).at(-1);
      // What it brought along to Temporal is covered with the first run there.
      const from = before?.to ?? 0;
      const digest = createDigest(before?.sha256);
      for await (const page of pagesOf(store, { sessionId: id, from, to: base })) digest.add(page);
      digest.add(carriers);
      const segment = {
        number: before ? before.number + 1 : 0,
        from,
        to: carriers.reduce((length, { drafts }) => length + drafts.length, base),
        life,
        runId,
        sha256: digest.end(),
      };
      const isNew = await store.seal(id, { ...segment, after, base, nextRun: nextRunId, carriers });
      if (isNew) changes.announce(id);
      return isNew;
    },
    async bear(id, { engine, isAwake }, carriers) {
      const away = isAwake ? 'sealed' : 'away';
      const isHere = engine === 'log';
      await announced(id, store.create(id, carriers, isHere && isAwake, isHere ? 'here' : away));
    },
    revive: (id, life) => announced(id, store.revive(id, life)),
    reborn: (id, life) => announced(id, store.reborn(id, life)),
    close: (id) => announced(id, store.startClosing(id)),
    forget: (id) => announced(id, store.remove(id)),
    moving: (limit) => store.moving(limit),
    next: (id, withinMs, signal) => changes.next(id, withinMs, signal),
  };
}

function toHome({ length, lastUs, place, state, lives, nextRun, sealed, logId }: Head): Home {
  return {
    engine: place === 'here' || place === 'leaving' ? 'log' : 'temporal',
    life: lives,
    base: length,
    lastUs,
    nextRunId: nextRun === null || nextRun === NO_RUN ? undefined : nextRun,
    isSealed: nextRun === NO_RUN,
    movingTo: state === 'open' ? GOES_TO[place] : undefined,
    isReviving: place === 'reviving' && state === 'open',
    isClosing: state === 'closing',
    sealed,
    logId,
  };
}
