import { describe, expect, it } from 'vitest';
import { toBwrapArgs, toHostUid } from '../../src/hands/bubblewrap/command.ts';
import type { Host } from '../../src/hands/bubblewrap/host.ts';

const host: Host = {
  isRoot: false,
  uid: 501,
  canDisableUserns: true,
  canLimitTmpfs: true,
  rootFolders: [
    { path: '/usr', target: undefined },
    { path: '/bin', target: 'usr/bin' },
  ],
};
const options = {
  mark: 'mark',
  folder: '/data/hand',
  runnerFolder: '/data/runner',
  nodePath: '/node',
  uid: 501,
  maxProcesses: 99,
  tmpBytes: 1000,
  statusFd: 3,
};

/** The arguments that follow each use of a flag. */
function after(args: readonly string[], flag: string, count: number): string[] {
  return args.flatMap((arg, at) => (arg === flag ? [args.slice(at + 1, at + 1 + count).join(' ')] : []));
}

describe.each([
  ['a plain user', host],
  ['root', { ...host, isRoot: true, uid: 0 }],
])('toBwrapArgs for %s', (_who, host) => {
  const args = toBwrapArgs(host, options);

  it('leaves every namespace of the host, above all its network', () => {
    expect(args).toEqual(
      expect.arrayContaining(['--unshare-net', '--unshare-pid', '--unshare-ipc', '--unshare-uts']),
    );
    expect(args).not.toContain('--share-net');
  });

  it('outlives the worker', () => {
    expect(args).not.toContain('--die-with-parent');
  });

  it('clears the environment', () => {
    expect(args).toContain('--clearenv');
    expect(after(args, '--setenv', 1)).toEqual(['PATH', 'HOME', 'LANG']);
  });

  it('lets nothing be written but what is the hand own', () => {
    const folders = [
      '/data/hand/workspace /workspace',
      '/data/hand/session /mnt/session',
      '/data/hand/state /run/drover',
    ];
    expect(after(args, '--bind', 2)).toEqual(folders);
    expect(after(args, '--ro-bind', 2)).toContain('/usr /usr');
    expect(after(args, '--symlink', 2)).toEqual(['usr/bin /bin']);
    expect(after(args, '--remount-ro', 1)).toEqual(['/']);
  });

  it('shows no file of the host that could hold a secret', () => {
    const etc = after(args, '--ro-bind-try', 1);
    expect(etc).not.toEqual(expect.arrayContaining(['/etc']));
    for (const name of ['shadow', 'gitconfig', 'environment', 'hosts', 'passwd'])
      expect(etc).not.toContain(`/etc/${name}`);
  });
});

describe('the user that tools run as', () => {
  it('is root neither inside nor outside', () => {
    const asRoot = toBwrapArgs({ ...host, isRoot: true, uid: 0 }, { ...options, uid: 0x7000_0001 });
    expect(asRoot).not.toContain('--unshare-user');
    expect(after(asRoot, '--reuid', 1)).toEqual([String(0x7000_0001)]);
    const asUser = toBwrapArgs(host, options);
    expect(after(asUser, '--uid', 1)).toEqual(['1000']);
    expect(asUser).not.toContain('setpriv');
  });

  it('is another one for each hand of a root worker', () => {
    const root = { ...host, isRoot: true };
    const [one, two] = [toHostUid(root, 'a1b2c3d4e5f6'), toHostUid(root, 'ffffffffffff')];
    expect(one).not.toBe(two);
    for (const uid of [one, two]) expect(uid).toBeGreaterThanOrEqual(0x7000_0000);
    for (const uid of [one, two]) expect(uid).toBeLessThan(0x7fff_ffff);
    expect(toHostUid(host, 'a1b2c3d4e5f6')).toBe(501);
  });
});
