import { mkdtemp, readFile, rm, symlink, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { HandGoneError, type HandRef } from '../../src/hands.ts';
import { createBubblewrapHands } from '../../src/hands/bubblewrap.ts';
import { findBubblewrapProblem } from '../../src/hands/bubblewrap/host.ts';
import { testHands } from './contract.ts';
import { bash, call, never, text, until } from './support.ts';

const problem = await findBubblewrapProblem();
if (problem !== undefined) console.warn(`\nSKIPPED: all tests of bubblewrap hands, because ${problem}\n`);

// Deep on purpose: the path of a unix socket may only have 108 bytes.
const temporary = await mkdtemp(join(tmpdir(), 'drover-hands-test-'));
const dataDir = join(
  temporary,
  'a-data-folder-in-a-place-whose-path-is-rather-long-as-they-happen-to-be',
  'data',
);
const folderOf = (id: string): string => join(dataDir, 'hands', id.replace('-', '/'));

afterAll(() => rm(temporary, { recursive: true, force: true }));

describe.skipIf(problem !== undefined)('bubblewrap hands', () => {
  testHands(async () => ({
    recipe: { kind: 'bubblewrap', dataDir },
    kill: async ({ id }) => {
      const status = await readFile(join(folderOf(id), 'status'), 'utf8');
      process.kill(Number(/"child-pid": *(\d+)/.exec(status)?.[1]), 'SIGKILL');
    },
  }));

  it('leave nothing on the disk when they are released', async () => {
    const hands = createBubblewrapHands({ dataDir, nodePath: process.execPath });
    const hand = await hands.provision('tidy', { network: 'none' }, never);
    await bash(hands, hand, 'mkdir -p locked/in && touch locked/in/file && chmod -R 000 locked');
    await hands.release(hand);
    await expect(readFile(join(folderOf(hand.id), 'key'))).rejects.toThrow('ENOENT');
  });

  it('do not follow what somebody puts in the place of the socket', async () => {
    const hands = createBubblewrapHands({ dataDir, nodePath: process.execPath });
    const hand = await hands.provision('trickster', { network: 'none' }, never);
    try {
      expect(text(await bash(hands, hand, 'echo here'))).toBe('here');
      const other = await hands.provision('victim', { network: 'none' }, never);
      const socket = join(folderOf(hand.id), 'state', 'runner.sock');
      await unlink(socket);
      await symlink(join(folderOf(other.id), 'state', 'runner.sock'), socket);
      // A worker without an open line has to connect anew.
      const later = createBubblewrapHands({ dataDir, nodePath: process.execPath });
      await expect(bash(later, hand, 'true')).rejects.toBeInstanceOf(HandGoneError);
      await hands.release(other);
    } finally {
      await hands.release(hand);
    }
  });

  it('end by themselves when their data folder is deleted', async () => {
    const doomed = await mkdtemp(join(tmpdir(), 'drover-hands-test-'));
    const hand = await call<HandRef>(
      { kind: 'bubblewrap', dataDir: doomed },
      { do: 'provision', key: 'doomed' },
    );
    const status = join(doomed, 'hands', hand.id.replace('-', '/'), 'status');
    const pid = /"child-pid": *(\d+)/.exec(await readFile(status, 'utf8'))?.[1];
    expect(pid).toMatch(/^\d+$/);
    await rm(doomed, { recursive: true });
    await until('the sandbox to end', async () => {
      const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      return !commandLine.includes(hand.id);
    });
  });

  it('refuse an id that would lead elsewhere', async () => {
    const hands = createBubblewrapHands({ dataDir, nodePath: process.execPath });
    await expect(bash(hands, { id: '../../etc', kind: 'bubblewrap' }, 'true')).rejects.toBeInstanceOf(
      HandGoneError,
    );
  });
});
