/** Which kind of hands a worker uses: what was asked for, else docker where its daemon answers, else bubblewrap. */
import Dockerode from 'dockerode';
import process from 'node:process';
import { createBubblewrapHands } from './bubblewrap.ts';
import { createDockerHands } from './docker.ts';
import { ensureSandboxImage } from './docker/image.ts';
import type { CallContext, HandRef, HandSpec } from '../hands.ts';
import type { ListableHands } from './reap.ts';
import { noteDockerHands } from './suspend.ts';

/** What the choice depends on. */
export interface HandsSettings {
  readonly dataDir: string;
  readonly sandbox: 'docker' | 'bubblewrap' | undefined;
  readonly sandboxImage: string;
  /** Where what is slow to make is kept, outside of any project. */
  readonly cacheDir: string;
}

const ANSWER_WITHIN_MS = 3000;

/** Makes the hands. `log` gets the progress of what takes long. */
export async function chooseHands(
  settings: HandsSettings,
  log: (line: string) => void,
): Promise<ListableHands> {
  const { sandbox, dataDir } = settings;
  const docker = new Dockerode();
  if (sandbox === 'docker' || (sandbox === undefined && (await answers(docker))))
    return dockerHands(docker, settings, log);
  return createBubblewrapHands({ dataDir, nodePath: process.execPath });
}

async function answers(docker: Dockerode): Promise<boolean> {
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error('no answer')), ANSWER_WITHIN_MS).unref();
  });
  return Promise.race([docker.ping(), late]).then(
    () => true,
    () => false,
  );
}

/**
 * Containers. The image may take minutes to make, the first time: that goes on in the background, so that sessions
 * which only talk need not wait for it, and the first hand waits for what is left.
 */
function dockerHands(docker: Dockerode, settings: HandsSettings, log: (line: string) => void): ListableHands {
  const { sandboxImage: image, cacheDir, dataDir } = settings;
  let ready = ensureHands();
  ready.catch((error: unknown) =>
    log(`sandbox image: ${error instanceof Error ? error.message : String(error)}`),
  );

  async function ensureHands(): Promise<ListableHands> {
    const reference = await ensureSandboxImage({ docker, image, cacheDir, log });
    return createDockerHands({ docker, image: reference, owner: dataDir });
  }

  /** A failure is tried again by the next one who asks. */
  async function hands(): Promise<ListableHands> {
    try {
      return await ready;
    } catch {
      ready = ensureHands();
      return await ready;
    }
  }

  return {
    kind: 'docker',
    async provision(key: string, spec: HandSpec, context: CallContext): Promise<HandRef> {
      const made = await hands();
      await noteDockerHands(dataDir);
      return made.provision(key, spec, context);
    },
    execute: async (hand, call, context) => (await hands()).execute(hand, call, context),
    snapshot: async (hand, store, context) => (await hands()).snapshot(hand, store, context),
    restore: async (hand, snapshot, store, context) =>
      (await hands()).restore(hand, snapshot, store, context),
    release: async (hand) => (await hands()).release(hand),
    list: async () => (await hands()).list(),
    listRunning: async () => (await hands()).listRunning(),
    suspendIdle: async (hand, options) => (await hands()).suspendIdle(hand, options),
    suspendAll: async (signal) => (await hands()).suspendAll(signal),
  };
}
