import { once } from 'node:events';
import { mkdtemp, readFile, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { HandGoneError, type HandRef } from '../../src/hands.ts';
import { createBubblewrapHands } from '../../src/hands/bubblewrap.ts';
import { fromId, presentLife } from '../../src/hands/bubblewrap/generations.ts';
import { findBubblewrapProblem } from '../../src/hands/bubblewrap/host.ts';
import { noteSuspension } from '../../src/hands/bubblewrap/sandbox.ts';
import type { ListableHands } from '../../src/hands/reap.ts';
import { processesOf } from '../support/crash-server.ts';
import { testHands } from './contract.ts';
import { bash, call, never, startCaller, text, until } from './support.ts';

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

async function untilListed(hands: ListableHands, key: string): Promise<HandRef> {
  let found: HandRef | undefined;
  await until(`a hand ${key}`, async () => {
    found = (await hands.list()).find((record) => record.key === key)?.hand;
    return found !== undefined;
  });
  if (found === undefined) throw new Error('unreachable');
  return found;
}

async function kill({ id }: HandRef): Promise<void> {
  const status = await readFile(join(folderOf(id), 'status'), 'utf8');
  const lives = [...status.matchAll(/"child-pid": *(\d+)/g)];
  process.kill(Number(lives.at(-1)?.[1]), 'SIGKILL');
}

afterAll(() => rm(temporary, { recursive: true, force: true }));

describe.skipIf(problem !== undefined)('bubblewrap hands', () => {
  testHands(async () => ({
    recipe: { kind: 'bubblewrap', dataDir },
    kill,
    presentLife: ({ id }) => {
      const generation = fromId(join(dataDir, 'hands'), id);
      if (generation === undefined) throw new Error(`no such hand: ${id}`);
      return presentLife(generation);
    },
    quietMs: 200,
    processes: async ({ id }) => (await processesOf(folderOf(id))).concat(await processesOf(id)),
  }));

  it('are suspended even while they are only starting, and then do not count as made', async () => {
    const hands = createBubblewrapHands({ dataDir, nodePath: process.execPath });
    const maker = startCaller({ kind: 'bubblewrap', dataDir }, { do: 'provision', key: 'early' });
    const ended = once(maker, 'close');
    const early = await untilListed(hands, 'early');
    await until('a process', async () => (await processesOf(early.id)).length > 0);
    maker.kill('SIGKILL');
    await ended;
    await hands.suspendAll(AbortSignal.timeout(5_000));
    expect(await processesOf(early.id)).toEqual([]);
    const made = await hands.provision('early', { network: 'none' }, never);
    expect(text(await bash(hands, made, 'echo here'))).toBe('here');
    expect((await hands.list()).filter(({ key }) => key === 'early')).toHaveLength(1);
    await hands.release(made);
  });

  it('are one hand, however many ask for it at the same moment, time after time', async () => {
    const askers = Array.from({ length: 6 }, () =>
      createBubblewrapHands({ dataDir, nodePath: process.execPath }),
    );
    for (let round = 0; round < 10; round += 1) {
      const [first, ...others] = await Promise.all(
        askers.map((hands) => hands.provision(`crowd ${round}`, { network: 'none' }, never)),
      );
      if (!first) throw new Error('nobody asked');
      expect(others).toEqual(others.map(() => first));
      await askers[0]?.release(first);
    }
  });

  it('live on where a suspension was noted and not carried out', async () => {
    const hands = createBubblewrapHands({ dataDir, nodePath: process.execPath });
    const hand = await hands.provision('noted', { network: 'none' }, never);
    await bash(hands, hand, 'cd /tmp');
    await noteSuspension(folderOf(hand.id), `drover-hand-${hand.id}`);
    const later = createBubblewrapHands({ dataDir, nodePath: process.execPath });
    expect(text(await bash(later, hand, 'pwd'))).toBe('/tmp');
    expect(await later.provision('noted', { network: 'none' }, never)).toEqual(hand);
    await hands.release(hand);
  });

  it('are known as suspended by notes of all their lives, also one that an earlier version made', async () => {
    const hands = createBubblewrapHands({ dataDir, nodePath: process.execPath });
    const hand = await hands.provision('old', { network: 'none' }, never);
    await bash(hands, hand, 'echo kept > f');
    const note = join(folderOf(hand.id), 'suspended');
    await writeFile(note, '1');
    await kill(hand);
    for (let life = 2; life < 4; life += 1) {
      expect(text(await bash(hands, hand, 'cat f'))).toBe('kept');
      expect(await hands.suspendIdle(hand, { quietMs: 0, signal: never.signal })).toBe(true);
    }
    // Whoever looked in an earlier life and reads the note only now must not take the hand for dead.
    expect(new Set((await readFile(note, 'utf8')).match(/\d+/g))).toEqual(new Set(['1', '2', '3']));
    await hands.release(hand);
  });

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
