import Dockerode from 'dockerode';
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureDockerd } from '../../scripts/dockerd.ts';
import { readToolPlaces } from '../../src/config.ts';
import { HandGoneError } from '../../src/hands.ts';
import { createDockerHands } from '../../src/hands/docker.ts';
import { ensureSandboxImage } from '../../src/hands/docker/image.ts';
import { presentLife } from '../../src/hands/docker/suspension.ts';
import { testHands } from './contract.ts';
import { bash, never, run, text, untilFile } from './support.ts';

const log = (line: string): void => void process.stderr.write(`${line}\n`);
const problem = await ensureDockerd({ log });
if (problem !== undefined) console.warn(`\nSKIPPED: all tests of docker hands, because ${problem}\n`);

const docker = new Dockerode();
const owner = `drover-test-${randomUUID()}`;
let image = '';

describe.skipIf(problem !== undefined)('docker hands', () => {
  beforeAll(async () => {
    const cacheDir = dirname(readToolPlaces().cacheDir);
    image = await ensureSandboxImage({ docker, image: 'drover-sandbox', cacheDir, log });
  }, 900_000);
  afterAll(async () => {
    const hands = createDockerHands({ image, docker, owner });
    for (const { hand } of await hands.list()) await hands.release(hand);
  });

  testHands(async () => ({
    recipe: { kind: 'docker', image, owner },
    kill: async ({ id }) => docker.getContainer(id).kill(),
    presentLife: ({ id }) => presentLife(docker, id, never.signal),
    quietMs: 1_500,
    processes: async ({ id }) => {
      const { State } = await docker.getContainer(id).inspect();
      return State.Running ? [String(State.Pid)] : [];
    },
  }));

  it('go on when the line to them is cut', async () => {
    const hands = createDockerHands({ image, docker, owner });
    const hand = await hands.provision('cut', { network: 'none' }, never);
    const pending = bash(hands, hand, 'echo x >> f; until [ -e go ]; do sleep 0.02; done; cat f');
    await untilFile(hands, hand, 'f');
    const killer = await docker.getContainer(hand.id).exec({
      Cmd: ['pkill', '-9', '-f', 'runner.ts connect'],
      AttachStdout: true,
    });
    const output = await killer.start({});
    await once(output.resume(), 'end');
    expect((await killer.inspect()).ExitCode).toBe(0);
    const other = createDockerHands({ image, docker, owner });
    await run(other, hand, 'write', { file_path: 'go', content: '' });
    expect(text(await pending)).toBe('x');
    await hands.release(hand);
  });

  it('say when their container was removed in the middle of a call', async () => {
    const hands = createDockerHands({ image, docker, owner });
    const hand = await hands.provision('removed', { network: 'none' }, never);
    const pending = bash(hands, hand, 'touch f; sleep 300').catch((error: unknown) => error);
    await untilFile(hands, hand, 'f');
    await docker.getContainer(hand.id).remove({ force: true });
    const error = await pending;
    expect(error).toBeInstanceOf(HandGoneError);
    expect((error as Error).message).toMatch(/killed|removed/);
  });

  it('tell a command that runs out of memory, and live on', async () => {
    const hands = createDockerHands({ image, docker, owner, limits: { memoryBytes: 256 * 2 ** 20 } });
    const hand = await hands.provision('hungry', { network: 'none' }, never);
    const outcome = await bash(hands, hand, `python3 -c 'x = bytearray(2 ** 30)'`);
    expect(outcome.isError).toBe(true);
    expect(text(outcome)).toContain('memory limit');
    expect(text(await bash(hands, hand, 'echo alive'))).toBe('alive');
    await hands.release(hand);
  });

  it('are limited in memory, processes and rights', async () => {
    const hands = createDockerHands({
      image,
      docker,
      owner,
      limits: { memoryBytes: 300 * 2 ** 20, processes: 99, cpus: 1 },
    });
    const hand = await hands.provision('limited', { network: 'none' }, never);
    const { HostConfig, Config } = await docker.getContainer(hand.id).inspect();
    expect(HostConfig).toMatchObject({
      Memory: 300 * 2 ** 20,
      PidsLimit: 99,
      NanoCpus: 1e9,
      CapDrop: ['ALL'],
      NetworkMode: 'none',
    });
    expect(HostConfig.SecurityOpt).toEqual(['no-new-privileges']);
    expect(Config.User).toBe('1000:1000');
    await hands.release(hand);
  });

  it('have a network when that is asked for and the daemon has one to give', async ({ skip }) => {
    const networks = await docker.listNetworks();
    if (!networks.some(({ Name }) => Name === 'bridge')) skip('this daemon has no bridge');
    const hands = createDockerHands({ image, docker, owner });
    const hand = await hands.provision('online', { network: 'open' }, never);
    expect(text(await bash(hands, hand, 'cat /proc/net/dev'))).toContain('eth0');
    await hands.release(hand);
  });

  it('come up again where a dead container has the name', async () => {
    const hands = createDockerHands({ image, docker, owner });
    const dead = await hands.provision('again', { network: 'none' }, never);
    await docker.getContainer(dead.id).kill();
    const fresh = await createDockerHands({ image, docker, owner }).provision(
      'again',
      { network: 'none' },
      never,
    );
    expect(fresh.id).not.toBe(dead.id);
    await hands.release(fresh);
  });

  it('say what is wrong when the image is missing', async () => {
    const hands = createDockerHands({ image: 'drover-no-such-image:1', docker, owner });
    await expect(hands.provision('imageless', { network: 'none' }, never)).rejects.toThrow(
      'drover-no-such-image:1',
    );
  });

  it('say that the daemon is out of reach', async () => {
    const nowhere = createDockerHands({
      image,
      docker: new Dockerode({ socketPath: '/nowhere.sock' }),
      owner,
    });
    await expect(bash(nowhere, { id: 'x', kind: 'docker' }, 'true')).rejects.toThrow(
      /Docker daemon does not answer/,
    );
  });
});
