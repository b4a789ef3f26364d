/**
 * Installs the dependencies when they are missing or not those of the lock file, so that every command of the
 * README works on a fresh clone. Plain JavaScript: it runs before the pinned Node is there.
 *
 * Not `npm ci`: that insists on lock entries for the optional native packages of every other platform, which a
 * registry without them cannot give.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const marker = `${root}node_modules/.drover-installed`;
const wanted = () =>
  createHash('sha256')
    .update(readFileSync(`${root}package-lock.json`))
    .update(process.platform)
    .digest('hex');

if (!existsSync(marker) || readFileSync(marker, 'utf8') !== wanted()) {
  process.stderr.write('drover: installing dependencies, about half a minute…\n');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const { status } = spawnSync(npm, ['install', '--no-fund', '--no-audit'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) process.exit(status ?? 1);
  writeFileSync(marker, wanted());
}
