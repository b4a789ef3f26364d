/**
 * A base system without any base image: debootstrap makes a minimal one from the distribution's packages, once, and
 * it is kept in a cache folder.
 */
import type Dockerode from 'dockerode';
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { access, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { getuid } from 'node:process';
import { promisify } from 'node:util';
import { SEARCH_PATH } from '../runner/places.ts';
import { follow } from './build.ts';

const run = promisify(execFile);
const TOOLS_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const PACKAGES = [
  'ca-certificates', 'curl', 'file', 'git', 'jq', 'less', 'patch', 'procps', 'python3', 'ripgrep', 'unzip', 'xz-utils',
]; // prettier-ignore
const FINISH = `set -eu
cd "$1"
chroot . useradd --uid 1000 --user-group --no-create-home --home-dir /workspace --shell /bin/bash agent
mkdir -p workspace mnt/session run/drover
chown 1000:1000 workspace mnt/session run/drover
rm -rf var/cache/apt/* var/lib/apt/lists/* var/log/* usr/share/doc/* usr/share/man/* usr/share/locale/* dev/*
`;
/** Changes whenever the system that is put together does. */
export const BOOTSTRAP_RECIPE = createHash('sha256')
  .update(JSON.stringify([PACKAGES, FINISH]))
  .digest('hex')
  .slice(0, 16);

/** What to make. */
export interface BootstrapOptions {
  readonly docker: Dockerode;
  /** What the image is to be called. */
  readonly reference: string;
  /** Where the system is kept. */
  readonly cacheDir: string;
  readonly log: (line: string) => void;
}

/** Makes the base image. Needs root and the debootstrap package on this machine. */
export async function importBootstrapped({
  docker,
  reference,
  cacheDir,
  log,
}: BootstrapOptions): Promise<void> {
  const archive = join(cacheDir, `sandbox-root-${BOOTSTRAP_RECIPE}.tar`);
  if (!(await exists(archive))) await bootstrap(archive, cacheDir, log);
  log('sandbox image: importing the base system');
  const [repo, tag] = reference.split(':');
  const changes = [`ENV PATH=${SEARCH_PATH} HOME=/workspace LANG=C.UTF-8`, 'WORKDIR /workspace'];
  await follow(docker, await docker.importImage(createReadStream(archive), { repo, tag, changes }));
}

async function bootstrap(archive: string, cacheDir: string, log: BootstrapOptions['log']): Promise<void> {
  if (getuid?.() !== 0) throw new Error('debootstrap needs root');
  await mkdir(cacheDir, { recursive: true });
  const root = await mkdtemp(join(cacheDir, 'sandbox-root-'));
  try {
    log(`sandbox image: making a base system in ${cacheDir} (debootstrap; once, about a minute)`);
    const { suite, mirror, components } = await findDistribution();
    const what = ['--variant=minbase', `--components=${components}`, `--include=${PACKAGES.join(',')}`];
    await runLoudly('debootstrap', [...what, suite, root, ...mirror]);
    await run('/bin/sh', ['-c', FINISH, 'sh', root], { env: { PATH: TOOLS_PATH } });
    log('sandbox image: packing the base system');
    await run('tar', ['--create', '--file', `${archive}.part`, '--directory', root, '--numeric-owner', '.'], {
      env: { PATH: TOOLS_PATH },
    });
    await rename(`${archive}.part`, archive);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** The distribution of this machine, from the mirror that it uses itself: that one can be reached. */
async function findDistribution(): Promise<{ suite: string; mirror: string[]; components: string }> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const suite = /^VERSION_CODENAME=(.+)$/m.exec(release)?.[1] ?? 'bookworm';
  const isUbuntu = /^ID=ubuntu$/m.test(release);
  const format = [
    'indextargets',
    '--format',
    '$(SITE) $(RELEASE)',
    'Created-By: Packages',
    'Component: main',
  ];
  const { stdout } = await run('apt-get', format, { env: { PATH: TOOLS_PATH } }).catch(() => ({
    stdout: '',
  }));
  const mirror = stdout
    .split('\n')
    .map((line) => line.split(' '))
    .find(([site, from]) => from === suite && /^https?:/.test(site ?? ''))?.[0];
  return {
    suite,
    mirror: mirror === undefined ? [] : [mirror],
    components: isUbuntu ? 'main,universe' : 'main',
  };
}

/** Keeps only the end of what a long-winded program says, for the case that it fails. */
async function runLoudly(program: string, args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { env: { PATH: TOOLS_PATH }, stdio: ['ignore', 'pipe', 'pipe'] });
  let end = '';
  for (const output of [child.stdout, child.stderr]) {
    output.on('data', (chunk: Buffer) => {
      end = (end + chunk.toString('utf8')).slice(-2_000);
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${program} failed: ${end.trim()}`);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
