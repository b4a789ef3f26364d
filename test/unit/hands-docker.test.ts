import { describe, expect, it } from 'vitest';
import { explain, toContainerName, toCreateOptions } from '../../src/hands/docker/container.ts';

const state = { Running: false, Paused: false, OOMKilled: false, ExitCode: 0, Error: '' };
const limits = { memoryBytes: 512 * 2 ** 20, cpus: 1.5, processes: 64 };
const place = { image: 'sandbox:1', owner: 'me', key: 'sesn_1' };

function explained(changes: Partial<typeof state>): string | undefined {
  const info = { State: { ...state, ...changes }, HostConfig: { Memory: limits.memoryBytes } };
  return explain(info as Parameters<typeof explain>[0]);
}

describe('explain', () => {
  it.each([
    [{ Running: true }, undefined],
    [{ Running: true, Paused: true }, /paused/],
    [{ OOMKilled: true, ExitCode: 137 }, /out of memory \(limit 512 MiB\)/],
    [{ ExitCode: 137 }, /killed \(SIGKILL\)/],
    [{ ExitCode: 143 }, /stopped \(SIGTERM\)/],
    [{ ExitCode: 127, Error: 'no such file' }, /code 127 \(no such file\)/],
  ])('reads %j', (changes, expected) => {
    if (expected === undefined) expect(explained(changes)).toBeUndefined();
    else expect(explained(changes)).toMatch(expected);
  });
});

describe('toCreateOptions', () => {
  it('gives no network, no rights and no more than the limits', () => {
    expect(toCreateOptions(place, { network: 'none' }, limits)).toMatchObject({
      User: '1000:1000',
      HostConfig: {
        NetworkMode: 'none',
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges'],
        Memory: 512 * 2 ** 20,
        MemorySwap: 512 * 2 ** 20,
        NanoCpus: 1_500_000_000,
        PidsLimit: 64,
        Init: true,
      },
    });
  });

  it('gives the network that is asked for', () => {
    expect(toCreateOptions(place, { network: 'open' }, limits).HostConfig?.NetworkMode).toBe('bridge');
  });

  it('mounts nothing of the host and hands over no variable', () => {
    const options = toCreateOptions(place, { network: 'none' }, limits);
    expect(options.Env).toBeUndefined();
    expect(options.HostConfig).not.toHaveProperty('Binds');
    expect(options.HostConfig).not.toHaveProperty('Mounts');
  });
});

describe('toContainerName', () => {
  it('is one name for one key of one owner, whatever is in them', () => {
    expect(toContainerName('a', '../b c')).toBe(toContainerName('a', '../b c'));
    expect(toContainerName('a', 'b')).not.toBe(toContainerName('a', 'c'));
    expect(toContainerName('a', 'b')).not.toBe(toContainerName('x', 'b'));
    expect(toContainerName('a', '../b c')).toMatch(/^[a-z0-9-]+$/);
  });
});
