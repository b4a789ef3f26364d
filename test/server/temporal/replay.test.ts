/** The workflow code replays the histories that it made: a worker that takes a session over comes to the same state. */
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ensureWorkflowBundle } from '../../../src/engine/temporal/workflow-bundle.ts';
import { connectToTemporal } from '../../support/temporal/histories.ts';
import { script, useTestbed, type Live } from '../../support/turns.ts';

const bed = useTestbed();
let folder = '';

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined) });
  folder = await mkdtemp(join(tmpdir(), 'drover-bundle-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** As `temporal workflow show --output json` gives it. */
async function historyOf(live: Live): Promise<string> {
  const client = await connectToTemporal();
  const history = await client.workflow.getHandle(live.id).fetchHistory();
  await client.connection.close();
  return historyToJSON(history);
}

it('a session with tools and a failing model replays', async () => {
  const live = await bed.live();
  await live.turn(script({ call: 'bash', input: { command: 'echo hi' } }, { say: 'done' }));
  await live.turn(script({ fail: 529, times: 2 }, { say: 'at last' }));
  const history: unknown = JSON.parse(await historyOf(live));
  const codePath = await ensureWorkflowBundle(folder);
  await expect(Worker.runReplayHistory({ workflowBundle: { codePath } }, history)).resolves.toBeUndefined();
});

it('a history that was tampered with does not', async () => {
  const live = await bed.live();
  await live.turn(script({ say: 'hello' }));
  const text = (await historyOf(live)).replaceAll('"brain"', '"heart"');
  const codePath = await ensureWorkflowBundle(folder);
  await expect(Worker.runReplayHistory({ workflowBundle: { codePath } }, JSON.parse(text))).rejects.toThrow(
    /[Nn]ondeterminism/,
  );
});
