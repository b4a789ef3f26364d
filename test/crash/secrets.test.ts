/** Canaries are planted where the secrets go; after turns, tools and crashes, none is where it may not be. */
import { randomBytes } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { serveModel, type ServedModel } from '../../src/model/serve.ts';
import { findIn, findInFolder, findInMemory, findInProcess, toCanary } from '../support/crash-canary.ts';
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
} from '../support/crash-client.ts';
import { childrenOf, commandStarted } from '../support/crash-hand.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from '../support/crash-server.ts';
import { withProbe } from '../support/probe.ts';

const modelKey = `sk-canary-model-${randomBytes(16).toString('hex')}`;
const apiKey = `sk-canary-api-${randomBytes(16).toString('hex')}`;
const canaries = [toCanary('model key', modelKey), toCanary('API key', apiKey)];
const MARK = `not-a-secret-${randomBytes(8).toString('hex')}`;
/** Everything that a command can see of other processes, and of its own. */
const SNOOP = [
  'env; set',
  'for p in /proc/[0-9]*; do echo "== $p"; tr "\\0" "\\n" < $p/environ; tr "\\0" " " < $p/cmdline; done 2>&1',
  'grep -rIs canary / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr --exclude-dir=lib 2>/dev/null',
  'seq 1 20000',
].join('\n');

let model: ServedModel;
let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  model = await serveModel();
  dataDir = await makeDataDir();
  server = await startCrashServer(dataDir, {
    ANTHROPIC_API_KEY: modelKey,
    ANTHROPIC_BASE_URL: model.url,
    DROVER_API_KEY: apiKey,
  });
});

afterAll(async () => {
  await cleanUp(dataDir, server);
  await model.close();
});

it('secrets are where they belong, and nowhere else', { timeout: 300_000 }, async () => {
  const session = await makeSession(server);
  const watched = await watch(server, session);
  const frames = await turn(server, session, watched, `${MARK}\n${script(bash(SNOOP), { say: 'ok' })}`);
  const [snooped] = toolResults(frames);
  expect(snooped?.text).toContain('HOME=/workspace');
  expect(findIn(Buffer.from(snooped?.text ?? ''), canaries)).toEqual([]);

  // Deaths leave traces of their own: retries, reports, failures in the history.
  await say(
    server,
    session,
    script(bash('touch started; sleep 2'), { say: 'a b c d e f', chunkChars: 1, chunkDelayMs: 200 }),
  );
  const folder = await commandStarted(dataDir, session, 'started');
  const from = watched.seen.length;
  await server.kill('worker');
  await watched.until('a preview', ({ type }) => type === 'event_delta', { from });
  await server.back(await server.kill('proxy'));
  await watched.until('the end of the turn', isIdle, { from });
  const listed = await checkSession(server, session, watched);
  expect(listed.some(({ type }) => type === 'session.error')).toBe(true);
  expect(findIn(Buffer.from(JSON.stringify(listed)), canaries)).toEqual([]);

  // The key did get to the model, and the model is the only place beyond the proxy.
  expect(model.requests.list().length).toBeGreaterThan(2);
  for (const { headers, body } of model.requests.list()) {
    expect(headers['x-api-key'] ?? headers['authorization']).toBe('[not kept]');
    expect(findIn(Buffer.from(JSON.stringify(body)), canaries)).toEqual([]);
  }

  const token = (await readFile(join(dataDir, 'run/secrets/proxy-token'), 'utf8')).trim();
  const all = [...canaries, toCanary('token secret', token)];
  await checkStored(session, all);
  await checkFiles(all);
  await checkProcesses(
    all,
    Number(/"child-pid": *(\d+)/.exec(await readFile(join(folder, 'status'), 'utf8'))?.[1]),
  );
  watched.close();
});

type Canaries = readonly ReturnType<typeof toCanary>[];

/** What the engine keeps of the session; it may be kept in a form that a search through files does not see. */
async function checkStored(session: string, all: Canaries): Promise<void> {
  const writes = await withProbe(server, (probe) => probe.writes(session));
  expect(writes.length).toBeGreaterThan(10);
  expect(writes.flatMap(({ bytes }) => findIn(bytes, all))).toEqual([]);
  // The same search finds what is there.
  expect(writes.flatMap(({ bytes }) => findIn(bytes, [toCanary('mark', MARK)]))).not.toEqual([]);
}

/** Databases, logs, blobs, hands, pid files: all that the server keeps. */
async function checkFiles(all: Canaries): Promise<void> {
  const own = join(dataDir, 'run/secrets/proxy-token');
  expect(await findInFolder(dataDir, all, [own])).toEqual([]);
  expect(await findInFolder(dataDir, all)).toEqual([`${own}: token secret`]);
  const control = await findInFolder(dataDir, [toCanary('mark', MARK)]);
  const database = server.engine === 'temporal' ? 'temporal.db' : 'drover.db';
  expect(control.some((line) => line.includes(database))).toBe(true);
  for (const name of ['blobs', 'hands', 'logs']) expect(await readdir(join(dataDir, name))).not.toEqual([]);
  const { supervisor } = server;
  expect(findIn(Buffer.from(supervisor.stdout() + supervisor.stderr()), all)).toEqual([]);
}

async function checkProcesses(all: Canaries, sandboxPid: number): Promise<void> {
  const [api, proxy, worker] = [
    await server.pid('api'),
    await server.pid('proxy'),
    await server.pid('worker'),
  ];
  const others = server.engine === 'temporal' ? [worker, await server.pid('temporal')] : [worker];
  expect(await findInProcess(proxy, all)).toEqual(['model key']);
  expect(await findInProcess(api, all)).toEqual(['API key']);
  const sandbox = [sandboxPid, ...(await childrenOf(sandboxPid))];
  expect(sandbox.length).toBeGreaterThan(1);
  for (const pid of [...others, ...sandbox]) expect(await findInProcess(pid, all)).toEqual([]);

  const inProxy = await findInMemory(proxy, canaries);
  if (inProxy === undefined) {
    process.stderr.write('SKIPPED: memory of processes: this user may not look into it\n');
    return;
  }
  expect(inProxy).toEqual(['model key']);
  expect(await findInMemory(api, canaries)).toEqual(['API key']);
  for (const pid of [...others, ...sandbox]) expect(await findInMemory(pid, canaries)).toEqual([]);
}
