/** Notices over the local socket: what one process announces, the others hear. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openApiBus, openWorkerBus } from '../../src/bus.ts';
import type { Notices } from '../../src/notices.ts';
import { eventually } from '../support/eventually.ts';

let folder: string;
let open: { close(): Promise<void> }[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'notices-'));
  open = [];
});

afterEach(async () => {
  for (const one of open) await one.close();
  await rm(folder, { recursive: true });
});

async function openAll(workers: number): Promise<Notices[]> {
  const bus = { path: join(folder, 'bus.sock') };
  const ends = [await openApiBus(bus), ...Array.from({ length: workers }, () => openWorkerBus(bus))];
  open.push(...ends);
  return ends.map(({ notices }) => notices);
}

function hear(notices: Notices): { heard: string[]; stop: () => void } {
  const heard: string[] = [];
  return { heard, stop: notices.listen((id) => void heard.push(id)) };
}

test('an API and its workers hear each other, and nobody himself', async () => {
  const all = await openAll(2);
  const ears = all.map(hear);
  for (const [from, notices] of all.entries()) {
    const others = ears.filter((_, at) => at !== from);
    // A worker may not be connected yet: a notice may be lost, which is why everybody also looks by himself.
    await eventually(() => {
      notices.announce(`by ${from}`);
      for (const { heard } of others) expect(heard).toContain(`by ${from}`);
    });
    expect(ears[from]?.heard).not.toContain(`by ${from}`);
  }
});

test('who has stopped to listen hears nothing, and nobody is needed to announce', async () => {
  const [api, worker] = await openAll(1);
  if (!api || !worker) throw new Error('two ends');
  const [first, second] = [hear(api), hear(api)];
  first.stop();
  await eventually(() => {
    worker.announce('a');
    expect(second.heard).toContain('a');
  });
  expect(first.heard).toEqual([]);
  second.stop();
  expect(() => worker.announce('b')).not.toThrow();
});
