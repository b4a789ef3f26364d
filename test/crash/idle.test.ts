/** A session that waits for days is a workflow and nothing else; what it waited for finds the sandbox as it was. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  bash,
  checkSession,
  isIdle,
  makeSession,
  script,
  toolResults,
  turn,
  watch,
} from '../support/crash-client.ts';
import { handFolders } from '../../scripts/sandboxes.ts';
import {
  cleanUp,
  makeDataDir,
  processesOf,
  startCrashServer,
  type CrashServer,
} from '../support/crash-server.ts';
import { eventually } from '../support/process.ts';

let dataDir: string;
let server: CrashServer;

beforeAll(async () => {
  dataDir = await makeDataDir();
  // Two workers look after the same hands.
  server = await startCrashServer(dataDir, { DROVER_HAND_IDLE: '1', DROVER_WORKERS: '2' });
});

afterAll(async () => {
  await cleanUp(dataDir, server);
});

/** Waits until nothing runs of the only hand of a session; answers its folder. */
async function untilSuspended(session: string): Promise<string> {
  const [folder, ...others] = await handFolders(dataDir, session);
  expect(others).toEqual([]);
  if (folder === undefined) throw new Error('the session has no hand');
  const id = folder.split('/').slice(-2).join('-');
  await eventually('no process of the sandbox', async () => (await processesOf(id)).length === 0);
  return folder;
}

it('a session that waits for a confirmation has no sandbox process; its tool then runs with the earlier files', async () => {
  const session = await makeSession(server, [
    {
      type: 'agent_toolset_20260401',
      configs: [{ name: 'bash', permission_policy: { type: 'always_ask' } }],
    },
  ]);
  const watched = await watch(server, session);
  const write = { call: 'write', input: { file_path: 'f', content: 'kept' } };
  await turn(server, session, watched, script(write, bash('cat f; echo; pwd'), { say: 'it ran' }));
  const folder = await untilSuspended(session);

  const asked = watched.seen.map(({ frame }) => frame).findLast(({ type }) => type === 'agent.tool_use');
  if (asked?.type !== 'agent.tool_use') throw new Error('nothing was asked');
  const from = watched.seen.length;
  await server.api.beta.sessions.events.send(session, {
    events: [{ type: 'user.tool_confirmation', tool_use_id: asked.id, result: 'allow' }],
  });
  await watched.until('the end of the turn', isIdle, { from });
  const results = toolResults(await checkSession(server, session, watched));
  expect(results).toHaveLength(2);
  expect(results.at(-1)).toEqual({ text: 'kept\n/workspace', isError: false });
  expect(await untilSuspended(session)).toBe(folder);

  // And for a message.
  const read = { call: 'read', input: { file_path: 'f' } };
  const last = await turn(server, session, watched, script(read, { say: 'ok' }));
  expect(toolResults(last)).toEqual([{ text: 'kept', isError: false }]);
  await checkSession(server, session, watched);
  watched.close();
});
