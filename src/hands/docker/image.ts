/**
 * Sees to it that there is an image for sandboxes: an Ubuntu built from `docker/sandbox/Dockerfile` where base
 * images can be pulled; else a Debian put together by debootstrap, from the distribution's packages alone.
 */
import type Dockerode from 'dockerode';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { arch, version as nodeVersion } from 'node:process';
import { fileURLToPath } from 'node:url';
import { findPayload, type Payload } from '../payload.ts';
import { buildOnBootstrap, BOOTSTRAP_RECIPE } from './bootstrap.ts';
import { build, follow, hasImage, packContext } from './build.ts';
import { toMessage } from './container.ts';

/** What an image is wanted for. */
export interface ImageOptions {
  readonly docker: Dockerode;
  /**
   * A plain name: the image is made, with a tag that changes when the runner or its Node does. A name with a tag or
   * a digest is taken as it is; there must be a runner in it.
   */
  readonly image: string;
  /** Where things are kept that take minutes to make: outside the project, so that they outlive a clone. */
  readonly cacheDir: string;
  /** Takes a line of progress at the start of every slow step. */
  readonly log: (line: string) => void;
}

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const DOCKERFILE = 'docker/sandbox/Dockerfile';

/** Makes the image available, and returns the reference to start containers from. */
export async function ensureSandboxImage({ docker, image, cacheDir, log }: ImageOptions): Promise<string> {
  if (/[@:]/.test(image.slice(image.lastIndexOf('/') + 1))) return ensureNamed(docker, image, log);
  const payload = await findPayload();
  const reference = `${image}:${await toTag(payload)}`;
  if (await hasImage(docker, reference)) return reference;
  try {
    await buildFromDockerfile(docker, reference, log);
  } catch (error) {
    log(`sandbox image: that did not work (${toMessage(error)}); making one with debootstrap instead`);
    await buildOnBootstrap({ docker, payload, reference, cacheDir, log });
  }
  log(`sandbox image: ${reference} is ready`);
  return reference;
}

async function ensureNamed(docker: Dockerode, image: string, log: ImageOptions['log']): Promise<string> {
  if (await hasImage(docker, image)) return image;
  log(`sandbox image: pulling ${image}`);
  await follow(docker, await docker.pull(image));
  return image;
}

async function buildFromDockerfile(
  docker: Dockerode,
  reference: string,
  log: ImageOptions['log'],
): Promise<void> {
  log(`sandbox image: building ${reference} from ${DOCKERFILE} (once, some minutes)`);
  const paths = [
    DOCKERFILE,
    'package.json',
    'package-lock.json',
    'src/hands.ts',
    'src/hands',
    'scripts/install-runner.ts',
  ];
  const context = packContext(paths.map((path) => ({ path, source: `${ROOT}${path}` })));
  const buildargs = { NODE_VERSION: nodeVersion.slice(1) };
  await build(docker, { context, dockerfile: DOCKERFILE, reference, buildargs, log });
}

async function toTag(payload: Payload): Promise<string> {
  const hash = createHash('sha256').update(`${payload.hash}\0${nodeVersion}\0${arch}\0`);
  hash.update(await readFile(`${ROOT}${DOCKERFILE}`)).update(BOOTSTRAP_RECIPE);
  return hash.digest('hex').slice(0, 16);
}
