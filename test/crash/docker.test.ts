/** The worker, or the container, dies under a command in a Docker hand. */
import Dockerode from 'dockerode';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureDockerd } from '../../scripts/dockerd.ts';
import { createDockerHands } from '../../src/hands/docker.ts';
import {
  bash,
  checkList,
  checkSession,
  isIdle,
  makeSession,
  measured,
  say,
  script,
  toolResults,
  turn,
  watch,
} from '../support/crash-client.ts';
import {
  cleanUp,
  makeDataDir,
  RECOVERED_WITHIN_MS,
  startCrashServer,
  type CrashServer,
} from '../support/crash-server.ts';
import { eventually } from '../support/process.ts';

/** Making the image takes minutes, the first time. */
const IMAGE_WITHIN_MS = 900_000;

const problem = await ensureDockerd({ log: (line) => void process.stderr.write(`${line}\n`) });
if (problem !== undefined) process.stderr.write(`SKIPPED: crashes of Docker hands: ${problem}\n`);

describe.skipIf(problem !== undefined)('Docker hands', () => {
  const docker = new Dockerode();
  let dataDir: string;
  let server: CrashServer;

  beforeAll(async () => {
    dataDir = await makeDataDir();
    server = await startCrashServer(dataDir, { DROVER_SANDBOX: 'docker' });
    const session = await makeSession(server);
    const watched = await watch(server, session);
    await say(server, session, script(bash('echo ready'), { say: 'ok' }));
    await watched.until('the first sandbox', isIdle, { withinMs: IMAGE_WITHIN_MS });
    watched.close();
  }, IMAGE_WITHIN_MS);

  afterAll(async () => {
    try {
      await server.stop();
    } finally {
      const hands = createDockerHands({ docker, image: 'none', owner: dataDir });
      for (const { hand } of await hands.list()) await hands.release(hand);
      await cleanUp(dataDir, server);
    }
  });

  /** Waits until a command has made this file in its working directory; answers the container's id. */
  async function commandStarted(session: string, file: string): Promise<string> {
    const hands = createDockerHands({ docker, image: 'none', owner: dataDir });
    return await eventually(
      `the command to make ${file}`,
      async () => {
        const own = (await hands.list()).find(({ key }) => key.startsWith(`${session}-`));
        if (own === undefined) return undefined;
        const isThere = await docker
          .getContainer(own.hand.id)
          .infoArchive({ path: `/workspace/${file}` })
          .then(
            () => true,
            () => false,
          );
        return isThere ? own.hand.id : undefined;
      },
      30_000,
    );
  }

  it('survive a worker that is killed: the command runs once, and its result is the normal one', async () => {
    const session = await makeSession(server);
    const watched = await watch(server, session);
    await say(
      server,
      session,
      script(bash('echo x >> f; sleep 5; echo slept'), { say: 'it said {{result}}' }),
    );
    await commandStarted(session, 'f');
    const startedMs = Date.now();
    const killed = await server.kill('worker');
    const from = watched.seen.length;
    const result = await watched.until('the result', ({ type }) => type === 'agent.tool_result', { from });
    await watched.until('the end of the turn', isIdle, { from });
    const late = result.atMs - (startedMs + 5000);
    measured('worker killed in a tool call (docker), to its result', result.atMs - killed.atMs);
    measured('  of that, after the command had ended', late);
    expect(late).toBeLessThan(RECOVERED_WITHIN_MS);
    expect(toolResults(watched.seen.map(({ frame }) => frame))).toEqual([{ text: 'slept', isError: false }]);
    const second = await turn(server, session, watched, script(bash('wc -l < f'), { say: 'ok' }));
    expect(toolResults(second)).toEqual([{ text: '1', isError: false }]);
    await checkSession(server, session, watched);
    watched.close();
  });

  it('that are killed give one error; the next call gets a fresh one', async () => {
    const session = await makeSession(server);
    const watched = await watch(server, session);
    const fresh = bash('ls; echo fresh');
    await say(server, session, script(bash('touch started; sleep 20; echo slept'), fresh, { say: 'done' }));
    const container = await commandStarted(session, 'started');
    await docker.getContainer(container).kill();
    const killedMs = Date.now();
    const result = await watched.until('the result', ({ type }) => type === 'agent.tool_result');
    await watched.until('the end of the turn', isIdle);
    measured('container killed in a tool call, to its result', result.atMs - killedMs);
    const listed = await checkSession(server, session, watched);
    const results = toolResults(listed);
    expect(results).toMatchObject([{ isError: true }, { isError: false, text: 'fresh' }]);
    expect(results[0]?.text).toContain('SIGKILL');
    expect(results[0]?.text).not.toContain('slept');
    const second = await turn(server, session, watched, script(bash('ls; echo again'), { say: 'ok' }));
    expect(toolResults(second)).toEqual([{ text: 'again', isError: false }]);
    watched.close();
  });

  it('are stopped with the server and started again with their files when they are needed', async () => {
    const session = await makeSession(server);
    const before = await watch(server, session);
    await turn(server, session, before, script(bash('echo kept > f; sleep 300 &'), { say: 'ok' }));
    const filters = { label: [`drover.owner=${dataDir}`] };
    expect(await docker.listContainers({ filters })).not.toEqual([]);
    await server.stop();
    before.close();
    expect(await docker.listContainers({ filters })).toEqual([]);
    server = await startCrashServer(dataDir, { DROVER_SANDBOX: 'docker' });
    const after = await watch(server, session);
    const second = await turn(server, session, after, script(bash('pwd; cat f'), { say: 'ok' }));
    expect(toolResults(second)).toEqual([{ text: '/workspace\nkept', isError: false }]);
    await checkList(server, session);
    after.close();
  });
});
