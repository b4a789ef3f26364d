/** The command line of a bubblewrap sandbox: what is in it, and what it may not do. */
import { INSTALL_FOLDER, RUNNER_COMMAND, SEARCH_PATH, STATE_FOLDER } from '../runner/places.ts';
import type { Host } from './host.ts';

/** The user that tools run as, inside. */
export const SANDBOX_UID = 1000;
/** User ids that no distribution gives to anybody: a root worker runs each hand as one of its own from here on. */
const FIRST_PRIVATE_UID = 0x7000_0000;

/** What differs from hand to hand. */
export interface SandboxOptions {
  /** Marks the processes of this hand, so that a recycled pid is never taken for one of them. */
  readonly mark: string;
  /** The hand's own folder on the host. */
  readonly folder: string;
  /** The folder that the runner is installed in, on the host. */
  readonly runnerFolder: string;
  readonly nodePath: string;
  /** On the host; the id inside may be another. */
  readonly uid: number;
  readonly maxProcesses: number;
  readonly tmpBytes: number;
  /** Where bubblewrap reports the pid and, at the end, the exit code. */
  readonly statusFd: number;
}

/** Files of the host's /etc that programs need and that hold nothing private. */
const ETC = [
  'alternatives', 'ca-certificates', 'ca-certificates.conf', 'crypto-policies', 'debian_version', 'inputrc', 'java',
  'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d', 'localtime', 'magic', 'mime.types', 'nsswitch.conf', 'os-release',
  'perl', 'pki', 'protocols', 'python3', 'services', 'ssl', 'terminfo', 'timezone',
]; // prettier-ignore

/**
 * Runs as process 1: it takes up orphans, and when it ends, as the runner has, the kernel kills all that is left.
 * It closes what files the worker's starter may have left open. The sandbox is to die of a lack of memory before the server does, and a command in it before its runner.
 */
const INIT = `
for file in /proc/self/fd/*; do
  number=\${file##*/}
  [ "$number" -gt 2 ] && eval "exec $number>&-"
done 2> /dev/null
{ echo 200 > /proc/self/oom_score_adj; } 2> /dev/null
ulimit -c 0
limit=$1; shift
ulimit -u "$limit" || exit
"$@" &
wait $!
`;

/** The user id that a hand's processes have on the host. */
export function toHostUid(host: Host, generation: string): number {
  return host.isRoot ? FIRST_PRIVATE_UID + Number.parseInt(generation.slice(0, 6), 16) : host.uid;
}

/** Everything after `bwrap`. */
export function toBwrapArgs(host: Host, options: SandboxOptions): string[] {
  return [
    ...isolate(host, options),
    ...mountSystem(host),
    ...mountHand(host, options),
    '--',
    ...toInit(host, options),
  ];
}

/** Never the host's network: what listens on its loopback, Temporal for one, trusts whoever can connect. */
function isolate(host: Host, { statusFd }: SandboxOptions): string[] {
  const namespaces = [
    '--unshare-ipc',
    '--unshare-pid',
    '--unshare-net',
    '--unshare-uts',
    '--unshare-cgroup-try',
  ];
  const id = String(SANDBOX_UID);
  // A root worker drops to a user of the host's, which must not be root in disguise: no user namespace then, and the
  // few capabilities that the dropping takes.
  const user = host.isRoot
    ? ['SETUID', 'SETGID', 'SETPCAP'].flatMap((name) => ['--cap-add', `CAP_${name}`])
    : ['--unshare-user', '--uid', id, '--gid', id, ...(host.canDisableUserns ? ['--disable-userns'] : [])];
  const session = [
    '--hostname',
    'sandbox',
    '--new-session',
    '--as-pid-1',
    '--json-status-fd',
    String(statusFd),
  ];
  const env = { PATH: SEARCH_PATH, HOME: '/workspace', LANG: 'C.UTF-8' };
  const variables = Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]);
  return [...namespaces, ...user, ...session, '--clearenv', ...variables];
}

function mountSystem(host: Host): string[] {
  const links = host.rootFolders.flatMap(({ path, target }) =>
    target === undefined ? ['--ro-bind', path, path] : ['--symlink', target, path],
  );
  const etc = ETC.flatMap((name) => ['--ro-bind-try', `/etc/${name}`, `/etc/${name}`]);
  return [
    ...links,
    ...['/etc', '/opt', '/mnt', '/run'].flatMap(toFolder),
    ...etc,
    '--proc',
    '/proc',
    '--dev',
    '/dev',
  ];
}

function mountHand(host: Host, options: SandboxOptions): string[] {
  const { folder, runnerFolder, nodePath, tmpBytes } = options;
  const own = ['passwd', 'group', 'hosts'].map((name) => [`${folder}/etc/${name}`, `/etc/${name}`]);
  const runner = ['src', 'node_modules', 'package.json'].map((name) => [
    `${runnerFolder}/${name}`,
    `${INSTALL_FOLDER}/${name}`,
  ]);
  const readOnly = [...own, ...runner, [nodePath, RUNNER_COMMAND[0]]];
  const writable = [
    [`${folder}/workspace`, '/workspace'],
    [`${folder}/session`, '/mnt/session'],
    [`${folder}/state`, STATE_FOLDER],
  ];
  const size = host.canLimitTmpfs ? ['--size', String(tmpBytes)] : [];
  return [
    [...size, '--perms', '1777', '--tmpfs', '/tmp'],
    ...[INSTALL_FOLDER, `${INSTALL_FOLDER}/bin`].map(toFolder),
    ...readOnly.map((pair) => ['--ro-bind', ...pair]),
    ...writable.map((pair) => ['--bind', ...pair]),
    ['--remount-ro', '/', '--chdir', '/workspace'],
  ].flat();
}

function toInit(host: Host, { mark, uid, maxProcesses }: SandboxOptions): string[] {
  const id = String(uid);
  const drop = [
    'setpriv',
    '--reuid',
    id,
    '--regid',
    id,
    '--clear-groups',
    '--inh-caps=-all',
    '--bounding-set=-all',
  ];
  const runner = [...(host.isRoot ? drop : []), ...RUNNER_COMMAND, 'serve', '--alone'];
  return ['/bin/bash', '-c', INIT, mark, String(maxProcesses), ...runner];
}

function toFolder(path: string): string[] {
  return ['--perms', '0755', '--dir', path];
}
