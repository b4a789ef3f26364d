/** Composition root of a worker process: the engine's work, with the brain and the hands. */
import { dirname } from 'node:path';
import { openBlobs } from './blobs/open.ts';
import { createClaudeBrain } from './brain/claude.ts';
import { openWorkerBus } from './bus.ts';
import { readToolPlaces, type RoleConfig } from './config.ts';
import { openEngine } from './engine.ts';
import type { Hands } from './hands.ts';
import { chooseHands } from './hands/choose.ts';
import { newId } from './id.ts';
import { openKillPoint, withKillPoints } from './kill-point.ts';
import { createLogger } from './log-line.ts';
import { startReaper } from './reaper.ts';
import { createOperations } from './operations.ts';
import { createTokens } from './proxy/token.ts';
import { pack } from './session/pack.ts';
import { createSnapshotStore } from './session/snapshot-store.ts';
import { createSnapshots } from './snapshots.ts';
import type { Role } from './supervisor/role.ts';
import { startSuspender } from './suspender.ts';

/** Starts a worker. It takes work when this resolves. */
export async function runWorker(config: RoleConfig): Promise<Role> {
  const log = createLogger('worker');
  const bus = openWorkerBus(config.bus);
  const killPoint = openKillPoint(config.killPoints);
  const blobs = withKillPoints(killPoint, await openBlobs(config), { put: 'blob', putBytes: 'blob' });
  const [engine, hands] = await Promise.all([
    openEngine({ config, blobs, notices: bus.notices, killPoint }),
    chooseHands({ ...config, cacheDir: dirname(readToolPlaces().cacheDir) }, (line) => log.info(line)),
  ]);
  log.info('hands', { kind: hands.kind });
  const { sessions } = engine;
  const tokens = createTokens(config.proxy.tokenSecret);
  const brain = createClaudeBrain({
    baseUrl: config.proxy.url,
    tokenFor: (sessionId) => tokens.mint({ sessionId }),
  });
  const newEventId = (): string => newId('sevt');
  const operations = createOperations({
    sessions,
    brain: withKillPoints(killPoint, brain, { think: 'answer' }),
    hands: withKillPoints<Hands>(killPoint, hands, { provision: 'hand', execute: 'tool' }),
    snapshots: createSnapshots({
      sessions,
      hands,
      storeOf: (sessionId) => createSnapshotStore(blobs, sessionId),
      areTaken: config.snapshots === 'on',
      newId: newEventId,
      log,
    }),
    previews: bus.previews,
    newId: newEventId,
    pack: (sessionId, drafts) => pack(drafts, (text) => blobs.put(sessionId, text)),
  });
  const reported = withKillPoints(killPoint, operations, {
    think: 'operation',
    provision: 'operation',
    execute: 'operation',
    recall: 'operation',
  });
  const work = await engine.work(reported, log);
  const reaper = startReaper({ hands, sessions, log });
  const suspender = startSuspender({ hands, sessions, log, idleMs: config.handIdleMs });

  return {
    async close() {
      suspender.stop();
      await work.stop();
      reaper.stop();
      await bus.close();
      await engine.close();
      await blobs.close();
    },
  };
}
