/** Composition root of a worker process: the session workflow, and the activities with the brain and the hands. */
import { Client } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { createActivities } from '../activities/session.ts';
import { openBlobs } from './blobs/open.ts';
import { createClaudeBrain } from './brain/claude.ts';
import { readToolPlaces, type RoleConfig } from './config.ts';
import { chooseHands } from './hands/choose.ts';
import { newId } from './id.ts';
import { createLogger } from './log-line.ts';
import { startReaper } from './reaper.ts';
import { openPreviewSender } from './previews/open.ts';
import { createTokens } from './proxy/token.ts';
import { pack } from './session/pack.ts';
import { createTemporalSessions } from './session/temporal.ts';
import type { Role } from './supervisor/role.ts';
import { startSuspender } from './suspender.ts';
import { connectTemporal } from './temporal-server/connection.ts';
import { ensureWorkflowBundle } from './workflow-bundle.ts';

/** Many model calls wait at once in one process; each is only an open stream. */
const MOST_ACTIVITIES = 500;
const MOST_CACHED_SESSIONS = 1000;
const DRAIN_MS = 4000;

/** Starts a worker. It polls when this resolves. */
export async function runWorker(config: RoleConfig): Promise<Role> {
  const log = createLogger('worker');
  Runtime.install({
    logger: new DefaultLogger('WARN', ({ level, message, meta }) => {
      log[level === 'ERROR' ? 'error' : 'warn'](message, { meta: JSON.stringify(meta ?? {}) });
    }),
    shutdownSignals: [],
  });
  const { address, namespace, taskQueue } = config.temporal;
  const [codePath, connection, native, hands] = await Promise.all([
    ensureWorkflowBundle(join(config.dataDir, 'cache')),
    connectTemporal(address),
    NativeConnection.connect({ address }),
    chooseHands({ ...config, cacheDir: dirname(readToolPlaces().cacheDir) }, (line) => log.info(line)),
  ]);
  log.info('hands', { kind: hands.kind });
  const blobs = await openBlobs(config);
  const client = new Client({ connection, namespace });
  const sessions = createTemporalSessions({ client, blobs, taskQueue });
  const tokens = createTokens(config.proxy.tokenSecret);
  const brain = createClaudeBrain({
    baseUrl: config.proxy.url,
    tokenFor: (sessionId) => tokens.mint({ sessionId }),
  });
  const previews = openPreviewSender(config.bus);
  const activities = createActivities({
    sessions,
    brain,
    hands,
    previews,
    newId: () => newId('sevt'),
    pack: (sessionId, drafts) => pack(drafts, (text) => blobs.put(sessionId, text)),
  });
  const worker = await Worker.create({
    connection: native,
    namespace,
    taskQueue,
    workflowBundle: { codePath },
    activities,
    identity: 'drover-worker',
    maxConcurrentActivityTaskExecutions: MOST_ACTIVITIES,
    maxCachedWorkflows: MOST_CACHED_SESSIONS,
    stickyQueueScheduleToStartTimeout: '1s',
    maxHeartbeatThrottleInterval: '1s',
    defaultHeartbeatThrottleInterval: '1s',
    shutdownGraceTime: DRAIN_MS,
    shutdownForceTime: DRAIN_MS + 1000,
  });
  const reaper = startReaper({ hands, sessions, log });
  const suspender = startSuspender({ hands, sessions, log, idleMs: config.handIdleMs });
  const running = worker.run();
  running.catch((error: unknown) => {
    // Nothing is lost: the supervisor starts another one.
    log.error('the worker broke down', { error: String(error) });
    process.exit(1);
  });

  return {
    async close() {
      suspender.stop();
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await running.catch(() => undefined);
      reaper.stop();
      previews.close();
      await native.close();
      await connection.close();
      await blobs.close();
    },
  };
}
