/** What bubblewrap can do on this machine. */
import { execFile } from 'node:child_process';
import { lstat, readlink } from 'node:fs/promises';
import { getuid } from 'node:process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Where the programs are that start a sandbox. */
export const HOST_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Facts about this machine that shape the command line. */
export interface Host {
  readonly isRoot: boolean;
  readonly uid: number;
  readonly canDisableUserns: boolean;
  readonly canLimitTmpfs: boolean;
  /** The system's folders in `/`: real ones, or links such as `/bin` to `usr/bin`. */
  readonly rootFolders: readonly { readonly path: string; readonly target: string | undefined }[];
}

/** Looks at the machine once. Rejects when bubblewrap is not installed. */
export async function inspectHost(): Promise<Host> {
  const { stdout: help } = await run('bwrap', ['--help'], { env: { PATH: HOST_PATH } });
  const uid = getuid?.() ?? -1;
  const paths = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];
  const found = await Promise.all(paths.map(toRootFolder));
  return {
    isRoot: uid === 0,
    uid,
    canDisableUserns: help.includes('--disable-userns'),
    canLimitTmpfs: help.includes('--size BYTES'),
    rootFolders: found.filter((folder) => folder !== undefined),
  };
}

/** Says why no sandbox can be made here, in words for an operator; undefined when all is well. */
export async function findBubblewrapProblem(): Promise<string | undefined> {
  try {
    const { isRoot } = await inspectHost();
    const env = { PATH: HOST_PATH };
    await run('flock', ['--version'], { env });
    await run('mkfifo', ['--version'], { env });
    if (isRoot) await run('setpriv', ['--version'], { env });
    const user = isRoot ? [] : ['--unshare-user'];
    const isolate = ['--unshare-pid', '--unshare-net', '--unshare-ipc', '--unshare-uts', ...user];
    await run('bwrap', [...isolate, '--ro-bind', '/', '/', '--proc', '/proc', '/bin/bash', '-c', 'true'], {
      env,
    });
    return undefined;
  } catch (error) {
    const { code, path, stderr, message } = error as {
      code?: unknown;
      path?: string;
      stderr?: string;
      message: string;
    };
    if (code === 'ENOENT') return `${path ?? 'a program it needs'} is not installed`;
    return stderr?.trim() || message;
  }
}

async function toRootFolder(path: string): Promise<Host['rootFolders'][number] | undefined> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  return { path, target: found.isSymbolicLink() ? await readlink(path) : undefined };
}
