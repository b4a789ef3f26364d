/** `npm start` with the log engine, nothing faked: it neither starts Temporal nor needs it. */
import Anthropic from '@anthropic-ai/sdk';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { collect } from '../../support/control-plane.ts';
import { eventually, isAlive } from '../../support/process.ts';
import { isHealthy, useSupervisors } from '../../support/supervisor.ts';
import { message, script } from '../../support/turns.ts';

const SLOW = { timeout: 90_000 };
const CLI = fileURLToPath(new URL('../../../src/cli.ts', import.meta.url));

const bed = useSupervisors();
const { start, untilReady, stop, pids } = bed;

const home = mkdtempSync(join(tmpdir(), 'drover-home-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** No Temporal program can be found there, and nothing can build one. */
const WITHOUT_TEMPORAL = {
  PATH: '/usr/bin:/bin',
  HOME: home,
  XDG_CACHE_HOME: join(home, '.cache'),
  DROVER_SANDBOX: 'bubblewrap',
  DROVER_API_KEY: 'sk-ant-api03-log',
  ANTHROPIC_BASE_URL: '',
};

it('runs turns, stops in order, and goes on where it was', SLOW, async () => {
  const first = start(WITHOUT_TEMPORAL, [[CLI, 'start']]);
  const url = await untilReady(first);
  const running = pids();
  expect(Object.keys(running).sort()).toEqual(['api', 'model', 'proxy', 'supervisor', 'worker']);
  expect(first.stderr()).not.toContain('emporal');
  expect(await isHealthy(url)).toBe(true);

  const before = await turnOf(url);
  expect(before.events).toContain('agent.message');
  expect(await stop(first)).toBe(0);
  expect(Object.values(running).filter(isAlive)).toEqual([]);
  expect(pids()).toEqual({});
  expect(existsSync(join(bed.dataDir, 'temporal.db'))).toBe(false);
  expect(existsSync(join(home, '.cache'))).toBe(false);

  const second = start(WITHOUT_TEMPORAL, [[CLI, 'start']]);
  const after = await turnOf(await untilReady(second), before.id);
  expect(after.events.filter((type) => type === 'agent.message')).toHaveLength(2);
  expect(after.events.slice(0, before.events.length)).toEqual(before.events);
  expect(await stop(second)).toBe(0);
});

/** One turn of a new session, or of one that is there. Answers the types of all its events. */
async function turnOf(url: string, known?: string): Promise<{ id: string; events: string[] }> {
  const client = new Anthropic({ baseURL: url, apiKey: WITHOUT_TEMPORAL.DROVER_API_KEY });
  const { agents, environments, sessions } = client.beta;
  const make = async (): Promise<string> => {
    const agent = await agents.create({ name: 'tester', model: 'claude-sonnet-5' });
    const environment = await environments.create({ name: 'tests' });
    return (await sessions.create({ agent: agent.id, environment_id: environment.id })).id;
  };
  const id = known ?? (await make());
  const list = async () => (await collect(sessions.events.list(id))).map(({ type }) => type);
  const isIdle = (type: string): boolean => type === 'session.status_idle';
  const idles = (await list()).filter(isIdle).length;
  await sessions.events.send(id, { events: [message(script({ say: 'hello' }))] });
  const events = await eventually('the end of the turn', async () => {
    const all = await list();
    return all.filter(isIdle).length > idles && all;
  });
  return { id, events };
}
