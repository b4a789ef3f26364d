/** Histories of every kind of session, recorded once: what runs on from them must not meet code that decides otherwise. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { replayRuns, type RecordedRun } from '../../../src/engine/temporal/replay.ts';
import { ensureWorkflowBundle } from '../../../src/engine/temporal/workflow-bundle.ts';

const FOLDER = fileURLToPath(new URL('../../histories', import.meta.url));

async function* recorded(): AsyncGenerator<RecordedRun> {
  for (const name of (await readdir(FOLDER)).sort())
    yield { name, history: JSON.parse(await readFile(join(FOLDER, name), 'utf8')) as unknown };
}

it('every recorded history replays', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'drover-bundle-'));
  try {
    const seen = [];
    for await (const one of replayRuns(await ensureWorkflowBundle(cache), recorded())) seen.push(one);
    expect(seen.length).toBeGreaterThan(12);
    expect(seen.filter(({ divergence }) => divergence !== undefined)).toEqual([]);
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
});
