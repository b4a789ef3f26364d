/**
 * Sees to it that there is an image for sandboxes: a base system, and the runner with its Node on top. The base is
 * the Ubuntu of `docker/sandbox/Dockerfile` where base images can be pulled, else a Debian made by debootstrap. A
 * changed runner makes a new image on the same base, which takes seconds.
 */
import type Dockerode from 'dockerode';
import { createHash } from 'node:crypto';
import { readFile, realpath } from 'node:fs/promises';
import { arch, execPath, platform, version as nodeVersion } from 'node:process';
import { fileURLToPath } from 'node:url';
import { findPayload, type Payload } from '../payload.ts';
import { INSTALL_FOLDER, RUNNER_COMMAND } from '../runner/places.ts';
import { BOOTSTRAP_RECIPE, importBootstrapped } from './bootstrap.ts';
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

const DOCKERFILE = fileURLToPath(new URL('../../../docker/sandbox/Dockerfile', import.meta.url));

/** Makes the image available, and returns the reference to start containers from. */
export async function ensureSandboxImage(options: ImageOptions): Promise<string> {
  const { docker, image, log } = options;
  if (/[@:]/.test(image.slice(image.lastIndexOf('/') + 1))) return ensureNamed(docker, image, log);
  const [payload, dockerfile] = await Promise.all([findPayload(), readFile(DOCKERFILE, 'utf8')]);
  const reference = `${image}:${hash(payload.hash, nodeVersion, arch, dockerfile, BOOTSTRAP_RECIPE)}`;
  if (await hasImage(docker, reference)) return reference;
  const base = await ensureBase(options, dockerfile);
  log('sandbox image: adding Node and the runner');
  await addRunner({ docker, base, payload, reference, log });
  log(`sandbox image: ${reference} is ready`);
  return reference;
}

async function ensureNamed(docker: Dockerode, image: string, log: ImageOptions['log']): Promise<string> {
  if (await hasImage(docker, image)) return image;
  log(`sandbox image: pulling ${image}`);
  await follow(docker, await docker.pull(image));
  return image;
}

async function ensureBase({ docker, cacheDir, log }: ImageOptions, dockerfile: string): Promise<string> {
  const built = `drover-sandbox-base:${hash(dockerfile)}`;
  const bootstrapped = `drover-sandbox-base:${BOOTSTRAP_RECIPE}`;
  for (const base of [built, bootstrapped]) if (await hasImage(docker, base)) return base;
  try {
    log('sandbox image: building the base system from docker/sandbox/Dockerfile (once, some minutes)');
    const context = packContext([], { Dockerfile: dockerfile });
    await build(docker, { context, reference: built, target: 'system', log });
    return built;
  } catch (error) {
    log(`sandbox image: that did not work (${toMessage(error)}); trying debootstrap`);
    await importBootstrapped({ docker, reference: bootstrapped, cacheDir, log });
    return bootstrapped;
  }
}

interface Addition {
  readonly docker: Dockerode;
  readonly base: string;
  readonly payload: Payload;
  readonly reference: string;
  readonly log: (line: string) => void;
}

async function addRunner({ docker, base, payload, reference, log }: Addition): Promise<void> {
  const { Arch } = await docker.version();
  // A daemon on another system needs a Node of its own.
  const isLikeHere = platform === 'linux' && Arch === (arch === 'x64' ? 'amd64' : arch);
  const source = isLikeHere
    ? 'node'
    : `--from=node:${nodeVersion.slice(1)}-bookworm-slim /usr/local/bin/node`;
  const lines = [
    `FROM ${base}`,
    `COPY ${source} ${RUNNER_COMMAND[0]}`,
    `COPY runner ${INSTALL_FOLDER}`,
    'USER 1000:1000',
  ];
  const node = isLikeHere ? [{ path: 'node', source: await realpath(execPath) }] : [];
  const runner = payload.files.map((file) => ({ path: `runner/${file.path}`, source: file.source }));
  const inline = { Dockerfile: lines.join('\n'), 'runner/package.json': payload.packageJson };
  await build(docker, { context: packContext([...node, ...runner], inline), reference, log });
}

function hash(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 16);
}
