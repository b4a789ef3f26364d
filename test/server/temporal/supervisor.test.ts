/** What `npm start` does about the embedded Temporal server. The other roles are fakes. */
import { expect, it } from 'vitest';
import { connectTemporal } from '../../../src/temporal-server/connection.ts';
import { eventually, isAlive } from '../../support/process.ts';
import { useSupervisors } from '../../support/supervisor.ts';

const SLOW = { timeout: 90_000 };

const { start, untilReady, stop, pids, killAndAwait, ports } = useSupervisors();

it('starts it again when it dies, at its address and with its namespace', SLOW, async () => {
  const server = start();
  await untilReady(server);
  const before = ports();
  await killAndAwait('temporal');
  const { temporal } = JSON.parse(before) as { temporal: number };
  const connection = await connectTemporal(`127.0.0.1:${temporal}`);
  await connection.workflowService.describeNamespace({ namespace: 'drover' });
  await connection.close();
  expect(ports()).toBe(before);
  expect(server.stderr()).toContain('temporal ended (SIGKILL); starting it again');
  const last = Object.values(pids());
  expect(await stop(server)).toBe(0);
  expect(last.filter(isAlive)).toEqual([]);
});

it('leaves it when it is killed itself, and clears it away at the next start', SLOW, async () => {
  const first = start();
  await untilReady(first);
  const { supervisor: _, temporal = 0, ...roles } = pids();
  first.child.kill('SIGKILL');
  expect(await first.ended).toBe('SIGKILL');
  await eventually('no role left', () => Object.values(roles).every((pid) => !isAlive(pid)));
  expect(isAlive(temporal)).toBe(true);

  const second = start();
  await untilReady(second);
  expect(isAlive(temporal)).toBe(false);
  expect(second.stderr()).toContain('stopped what an earlier start had left: temporal');
  expect(await stop(second)).toBe(0);
});
