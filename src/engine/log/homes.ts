/** Where sessions live, as the heads of the log engine say it. */
import type { EngineName, Home, Homes } from '../../session/home.ts';
import type { Changes } from './changes.ts';
import type { Head, LogStore, Place } from './store.ts';

const GOES_TO: Readonly<Record<Place, EngineName | undefined>> = {
  here: undefined,
  leaving: 'temporal',
  sealed: 'temporal',
  away: undefined,
  coming: 'log',
};

/** Makes the port. Every change is announced: others may wait for it. */
export function createHomes(store: LogStore, changes: Changes): Homes {
  async function announced(id: string, change: Promise<void>): Promise<void> {
    await change;
    changes.announce(id);
  }

  return {
    read: (id, position, limit) => store.read(id, position, limit),
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
    close: (id) => announced(id, store.startClosing(id)),
    forget: (id) => announced(id, store.remove(id)),
    moving: (limit) => store.moving(limit),
    next: (id, withinMs, signal) => changes.next(id, withinMs, signal),
  };
}

function toHome({ length, place, state, lives }: Head): Home {
  return {
    engine: place === 'here' || place === 'leaving' ? 'log' : 'temporal',
    life: lives,
    base: length,
    movingTo: state === 'open' ? GOES_TO[place] : undefined,
    isClosing: state === 'closing',
  };
}
