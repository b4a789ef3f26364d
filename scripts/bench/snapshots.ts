/** What keeping the files of a hand adds to a call. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { createFolderBlobs } from '../../src/blobs/folder.ts';
import { createBubblewrapHands } from '../../src/hands/bubblewrap.ts';
import type { HandRef } from '../../src/hands.ts';
import type { ListableHands } from '../../src/hands/reap.ts';
import { createSnapshotStore } from '../../src/session/snapshot-store.ts';
import type { SnapshotStore } from '../../src/snapshot.ts';
import { figures, round, type Figures, type Result, type Scenario } from './measure.ts';

const CALLS = 100;
const never = { signal: new AbortController().signal };
/** What is in a workspace, by name. */
const WORKSPACES: Readonly<Record<string, string>> = {
  '3 files': 'for i in 1 2 3; do seq 100 > $i; done',
  '5,000 files':
    'for d in $(seq 50); do mkdir d$d; for i in $(seq 100); do seq 1 $((d + i)) > d$d/$i; done; done',
  'too many files': 'for d in $(seq 50); do mkdir d$d; (cd d$d; seq 500 | xargs touch); done',
};

/** `snapshots`. */
export const snapshots: Scenario = {
  about: 'what a snapshot adds to a call in bubblewrap, by what is in its workspace; kept in a folder',
  async run(): Promise<Result> {
    const dataDir = await mkdtemp(join(tmpdir(), 'drover-snapshots-'));
    const hands = createBubblewrapHands({ dataDir, nodePath: process.execPath });
    const blobs = createFolderBlobs(join(dataDir, 'blobs'));
    const result: Record<string, Figures | number> = {};
    try {
      for (const [name, fill] of Object.entries(WORKSPACES)) {
        const hand = await hands.provision(name, { network: 'none' }, never);
        const store = createSnapshotStore(blobs, `sesn_${name.replaceAll(/\W/g, '')}`);
        Object.assign(result, await measure({ hands, hand, store }, name, fill));
        await hands.release(hand);
      }
      return result;
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  },
};

interface Bench {
  readonly hands: ListableHands;
  readonly hand: HandRef;
  readonly store: SnapshotStore;
}

async function measure(
  { hands, hand, store }: Bench,
  name: string,
  fill: string,
): Promise<Record<string, Figures | number>> {
  let calls = 0;
  const call = (command: string): Promise<number> =>
    timed(() => {
      calls += 1;
      return hands.execute(hand, { id: `call_${calls}`, name: 'bash', input: { command } }, never);
    });
  const snapshot = (): Promise<number> =>
    timed(() => hands.snapshot(hand, store, never).catch(() => undefined));
  await call(fill);
  const firstMs = await snapshot();
  // Files that were written just now are read once more.
  await snapshot();
  const [alone, unchanged, changed]: [number[], number[], number[]] = [[], [], []];
  for (let at = 0; at < CALLS; at += 1) {
    alone.push(await call('true'));
    unchanged.push(await snapshot());
    await call(`echo ${at} > changed`);
    changed.push(await snapshot());
  }
  return {
    [`${name}: the call itself`]: figures(alone),
    [`${name}: first snapshot, ms`]: round(firstMs),
    [`${name}: nothing changed`]: figures(unchanged),
    [`${name}: one file changed`]: figures(changed),
  };
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}
