/**
 * The workflow code is changed while sessions are at work, as ADR 0024 says: behind `patched()`. What runs is a server
 * on a copy of the sources, which is edited under it, as by an update in place; its workers are then started again.
 */
import { Client } from '@temporalio/client';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HistoryEvent } from '../../../src/engine/temporal/history.ts';
import { fetchRuns, replayRuns, type RecordedRun } from '../../../src/engine/temporal/replay.ts';
import type { ensureWorkflowBundle } from '../../../src/engine/temporal/workflow-bundle.ts';
import { connectTemporal } from '../../../src/temporal-server/connection.ts';
import {
  bash,
  checkSession,
  isIdle,
  makeSession,
  say,
  script,
  toolResults,
  turn,
  watch,
  type Watch,
} from '../../support/crash-client.ts';
import { commandStarted, tellToGoOn, UNTIL_TOLD } from '../../support/crash-hand.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../../support/crash-server.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const SOURCES = ['src', 'workflows', 'activities', 'package.json', 'package-lock.json'];

/** What the change is: every step leaves one more event in the history, before all that it does. */
const NEW_WAY = 'workflow.upsertMemo({ steps: run.arrivals });';
const PATCH = 'count-steps';
const PATCHED = `if (workflow.patched('${PATCH}')) ${NEW_WAY}`;
/** Where: each step comes by here. */
const PLACE = '    const drafts = author(run.state, step.write, pen);\n';

let dataDir: string;
let tree: string;
let server: CrashServer;
let client: Client;
let isUpgraded = false;
const trees: string[] = [];

beforeAll(async () => {
  dataDir = await makeDataDir();
  tree = await copySources();
  server = await startCrashServer(dataDir, { DROVER_RUN_EVENTS: '90' }, join(tree, 'src', 'cli.ts'));
  const connection = await connectTemporal(server.temporalAddress ?? '');
  client = new Client({ connection, namespace: 'drover' });
});

afterAll(async () => {
  await client.connection.close();
  await cleanUp(dataDir, server);
  for (const folder of trees) await rm(folder, { recursive: true, force: true });
});

/** The sources of this repository, to be edited. */
async function copySources(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'drover-sources-'));
  trees.push(folder);
  for (const name of SOURCES) await cp(join(ROOT, name), join(folder, name), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

/** Changes the workflow code of a copy. */
async function change(folder: string, statement: string): Promise<void> {
  const path = join(folder, 'workflows', 'session.ts');
  const before = await readFile(path, 'utf8');
  expect(before).toContain(PLACE);
  await writeFile(path, before.replace(PLACE, `${PLACE}    ${statement}\n`));
}

/** The workflow bundle of a copy, made by its own code. */
async function bundleOf(folder: string): Promise<string> {
  const path = join(folder, 'src', 'engine', 'temporal', 'workflow-bundle.ts');
  const own = (await import(/* @vite-ignore */ path)) as {
    ensureWorkflowBundle: typeof ensureWorkflowBundle;
  };
  return await own.ensureWorkflowBundle(join(folder, 'cache'));
}

async function runsOf(...sessions: readonly string[]): Promise<RecordedRun[]> {
  const runs: RecordedRun[] = [];
  for (const session of sessions) for await (const run of fetchRuns(client, session)) runs.push(run);
  return runs;
}

/** Where a bundle's code and the histories part. */
async function divergences(codePath: string, runs: readonly RecordedRun[]): Promise<string[]> {
  const found: string[] = [];
  const each = async function* () {
    yield* runs;
  };
  for await (const { divergence } of replayRuns(codePath, each()))
    if (divergence !== undefined) found.push(divergence);
  return found;
}

/** What a session's newest run has of the change, by the numbers of history events. */
async function tracesIn(session: string) {
  const events = (await client.workflow.getHandle(session).fetchHistory()).events ?? [];
  const numbers = (isIt: (event: HistoryEvent) => unknown): number[] =>
    events.filter(isIt).map(({ eventId }) => Number(eventId));
  return {
    failed: numbers((event) => event.workflowTaskFailedEventAttributes),
    markers: numbers((event) => event.markerRecordedEventAttributes),
    notes: numbers(
      (event) => event.workflowPropertiesModifiedEventAttributes?.upsertedMemo?.fields?.['steps'],
    ),
    length: events.length,
  };
}

async function restartWorker(): Promise<void> {
  await server.back(await server.kill('worker'));
}

/** Has the server's workers run the changed code, from now on. */
async function upgrade(): Promise<void> {
  if (!isUpgraded) await change(tree, PATCHED);
  isUpgraded = true;
  await restartWorker();
}

async function release(hold: string): Promise<void> {
  await fetch(`http://127.0.0.1:${server.ports.model}/x/release?hold=${hold}`, { method: 'POST' });
}

/** A session that is watched. */
async function begin(): Promise<{ id: string; watched: Watch }> {
  const id = await makeSession(server);
  return { id, watched: await watch(server, id) };
}

const ECHO = script(bash('echo again | tee -a f'), { say: 'it said {{result}}' });

describe('workflow code that is changed while sessions are at work', () => {
  it('behind patched(): they go on, the old way as far as that is recorded, the new way from there', async () => {
    const calling = await begin();
    const asking = await begin();
    const resting = await begin();
    const all = [calling, asking, resting];
    const ids = all.map(({ id }) => id);
    await turn(server, resting.id, resting.watched, ECHO);
    await say(server, calling.id, script(bash(UNTIL_TOLD), { say: 'it said {{result}}' }));
    const hand = await commandStarted(dataDir, calling.id, 'f');
    await say(server, asking.id, script({ say: 'half of' }, { hold: 'upgrade' }, { say: 'the answer' }));
    await asking.watched.until('half an answer', ({ type }) => type === 'event_delta');
    const recorded = await runsOf(...ids);
    const before = await Promise.all(ids.map(tracesIn));
    expect(before.map(({ markers, notes }) => [...markers, ...notes])).toEqual([[], [], []]);

    await upgrade();
    await tellToGoOn(hand);
    await release('upgrade');
    await Promise.all([
      calling.watched.until('the end of its turn', isIdle),
      asking.watched.until('the end of its turn', isIdle),
      turn(server, resting.id, resting.watched, ECHO),
    ]);
    const listed = await Promise.all(all.map(({ id, watched }) => checkSession(server, id, watched)));
    expect(listed.map(toolResults)).toEqual([
      [{ text: '1', isError: false }],
      [],
      Array.from({ length: 2 }, () => ({ text: 'again', isError: false })),
    ]);
    for (const [index, { failed, markers, notes }] of (await Promise.all(ids.map(tracesIn))).entries()) {
      expect(failed).toEqual([]);
      expect(markers).toHaveLength(1);
      expect(markers[0]).toBeGreaterThan(before[index]?.length ?? 0);
      expect(notes.length).toBeGreaterThan(0);
      expect(notes[0]).toBeGreaterThan(markers[0] ?? 0);
    }

    // Both ways are now in one history, which is replayed from its beginning.
    await restartWorker();
    await Promise.all(all.map(({ id, watched }) => turn(server, id, watched, ECHO)));
    for (const { id, watched } of all) await checkSession(server, id, watched);
    for (const id of ids) expect((await tracesIn(id)).failed).toEqual([]);
    const upgraded = await runsOf(...ids);
    expect(await divergences(await bundleOf(tree), [...recorded, ...upgraded])).toEqual([]);
    const parted = expect.stringMatching(/nondeterminism/i);
    // The same change without patched() meets histories that say otherwise; so does the old code, afterwards.
    const unpatched = await copySources();
    expect(await divergences(await bundleOf(unpatched), recorded)).toEqual([]);
    expect(await divergences(await bundleOf(unpatched), upgraded)).toEqual(ids.map(() => parted));
    await change(unpatched, NEW_WAY);
    expect(await divergences(await bundleOf(unpatched), recorded)).toEqual(ids.map(() => parted));
    for (const { watched } of all) watched.close();
  });

  it('has every run that begins take the new way from its first step', async () => {
    await upgrade();
    const fresh = await begin();
    await turn(server, fresh.id, fresh.watched, ECHO);
    const {
      markers: [marker = 0],
      notes,
    } = await tracesIn(fresh.id);
    expect(notes.length).toBeGreaterThan(2);
    expect(marker).toBeLessThan(notes[0] ?? 0);
    for (let runs = 1; runs < 2; runs = (await runsOf(fresh.id)).length)
      await turn(server, fresh.id, fresh.watched, ECHO);
    await turn(server, fresh.id, fresh.watched, ECHO);
    const next = await tracesIn(fresh.id);
    expect([next.failed, next.markers.length]).toEqual([[], 1]);
    await checkSession(server, fresh.id, fresh.watched);
    fresh.watched.close();
  });
});
