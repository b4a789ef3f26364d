/** The Temporal engine: sessions are workflows, and their histories are the logs. */
import { Client } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { join } from 'node:path';
import process from 'node:process';
import type { SessionActivities } from '../../activities/contract.ts';
import { createActivities } from '../../activities/session.ts';
import type { EngineDeps, TemporalPart } from '../engine.ts';
import type { Logger } from '../log-line.ts';
import type { Homes } from '../session/home.ts';
import { connectTemporal } from '../temporal-server/connection.ts';
import { createTemporalBackend } from './temporal/backend.ts';
import { createLives } from './temporal/lives.ts';
import { startSealSweep } from './temporal/sweep.ts';
import { ensureWorkflowBundle } from './temporal/workflow-bundle.ts';

/** Many model calls wait at once in one process; each is only an open stream. */
const MOST_ACTIVITIES = 500;
const MOST_CACHED_SESSIONS = 1000;
/** What is under way when a worker is told to stop; the supervisor waits a little longer. */
const DRAIN_MS = 4000;

/** What it is opened with. */
export interface TemporalDeps extends EngineDeps {
  /** Where sessions live that have moved; left out: none have. */
  readonly homes: Homes | undefined;
}

/** Opens the engine on the configured Temporal server. */
export async function openTemporalEngine({ config, blobs, homes }: TemporalDeps): Promise<TemporalPart> {
  const { address, namespace, taskQueue, runs } = config.temporal;
  if (address === undefined) throw new Error('TEMPORAL_ADDRESS: not set, and the temporal engine needs it');
  const connection = await connectTemporal(address);
  // Histories name whoever wrote them, and are shown to others: not by the name of a machine.
  const client = new Client({ connection, namespace, identity: 'drover' });
  const isAtHome: SessionActivities['isAtHome'] = async ({ sessionId, life }) => {
    const home = await homes?.find(sessionId);
    return home?.engine === 'temporal' && home.life === life && !home.isClosing;
  };
  const lives = createLives({ client, taskQueue, limits: runs, homes });
  const seal: SessionActivities['seal'] = async ({ sessionId, life }) => {
    await lives.seal(sessionId, life);
  };
  return {
    lives,
    backendAt: (home) =>
      createTemporalBackend({ client, blobs, taskQueue, limits: runs, archive: homes }, home),
    async check() {
      await connection.workflowService.getSystemInfo({});
    },
    async work({ operations, sessions, log }) {
      const worker = await startWorker(
        { address, namespace, taskQueue, bundles: join(config.dataDir, 'cache') },
        { activities: createActivities({ operations, sessions, isAtHome, seal }), log },
      );
      const sweep = startSealSweep({ client, seal: (id, life) => lives.seal(id, life), log });
      return {
        async stop() {
          sweep.stop();
          await worker.stop();
        },
      };
    },
    close: () => connection.close(),
  };
}

/** Where a worker gets its work. */
interface WorkerPlace {
  readonly address: string;
  readonly namespace: string;
  readonly taskQueue: string;
  /** Keeps the workflow bundle. */
  readonly bundles: string;
}

async function startWorker(
  { address, namespace, taskQueue, bundles }: WorkerPlace,
  { activities, log }: { activities: SessionActivities; log: Logger },
): Promise<{ stop(): Promise<void> }> {
  Runtime.install({
    logger: new DefaultLogger('WARN', ({ level, message, meta }) => {
      log[level === 'ERROR' ? 'error' : 'warn'](message, { meta: JSON.stringify(meta ?? {}) });
    }),
    shutdownSignals: [],
  });
  const [codePath, native] = await Promise.all([
    ensureWorkflowBundle(bundles),
    NativeConnection.connect({ address }),
  ]);
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
  const running = worker.run();
  running.catch((error: unknown) => {
    // Nothing is lost: the supervisor starts another one.
    log.error('the worker broke down', { error: String(error) });
    process.exit(1);
  });
  return {
    async stop() {
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await running.catch(() => undefined);
      await native.close();
    },
  };
}
