/** Sessions of the log engine are sealed while nobody looks, and what becomes of their rows does not go unnoticed. */
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { server } from '../../support/client.ts';
import { execute, query } from '../../support/database.ts';
import { eventually } from '../../support/process.ts';
import { message, script, useTestbed } from '../../support/turns.ts';

const bed = useTestbed();

interface Verification {
  readonly length: number;
  readonly sealed: number;
  readonly segments: readonly {
    readonly number: number;
    readonly from: number;
    readonly to: number;
    readonly run_id: string | null;
    readonly archive: string;
    readonly history: string;
  }[];
  readonly damage: {
    readonly segment: number | null;
    readonly position: number;
    readonly problem: string;
  } | null;
}

const verify = async (id: string): Promise<Verification> =>
  await bed.client.get(`/v1/x/sessions/${id}/verify`);

async function change(sql: string): Promise<void> {
  const { databaseUrl: url, dataDir } = server();
  const place =
    url === undefined
      ? ({ kind: 'sqlite', path: join(dataDir, 'drover.db') } as const)
      : ({ kind: 'postgres', url } as const);
  await execute(place, sql);
}

/** How many rows of segments there are. */
async function rows(id: string): Promise<number> {
  const { databaseUrl: url, dataDir } = server();
  const sql = `select count(*) as count from log_segments where session_id = '${id}'`;
  if (url !== undefined) return Number((await query<{ count: string }>(url, sql))[0]?.count);
  const database = new DatabaseSync(join(dataDir, 'drover.db'), { readOnly: true, timeout: 5000 });
  try {
    return Number(database.prepare(sql).get()?.['count']);
  } finally {
    database.close();
  }
}

/** A session that has at least so many segments. */
async function sealed(count: number) {
  const live = await bed.live();
  const found = await eventually('the segments', async () => {
    await live.turn(script({ say: 'hello' }));
    const now = await verify(live.id);
    return now.segments.length >= count ? now : undefined;
  });
  return { live, found };
}

describe('a session of the log engine', () => {
  it('is sealed between its turns, in segments that follow each other', async () => {
    const { live, found } = await sealed(3);
    expect(found.damage).toBeNull();
    expect(found.segments.map(({ from }) => from)).toEqual([
      0,
      ...found.segments.slice(0, -1).map(({ to }) => to),
    ]);
    for (const { from, to, run_id, archive, history } of found.segments) {
      expect([archive, history, run_id]).toEqual(['intact', 'none', null]);
      expect(to - from).toBeGreaterThanOrEqual(20);
    }
    expect(found.sealed).toBe(found.segments.at(-1)?.to);
    const { length }: { length: number } = await bed.client.get(`/v1/x/sessions/${live.id}/events`);
    expect(found.length).toBeLessThanOrEqual(length);
  });

  it('is sealed to its end once it is archived, and all of that is erased with it', async () => {
    const { live } = await sealed(1);
    await live.turn(script({ say: 'the last' }));
    await bed.client.beta.sessions.archive(live.id);
    await live.ended;
    const whole = await eventually('all of it', async () => {
      const now = await verify(live.id);
      return now.sealed === now.length ? now : undefined;
    });
    expect(whole.damage).toBeNull();
    expect(await rows(live.id)).toBe(whole.segments.length);
    await bed.client.beta.sessions.delete(live.id);
    expect(await rows(live.id)).toBe(0);
  });

  it('tells which segment it is that somebody has changed, and which positions are missing', async () => {
    const { live, found } = await sealed(2);
    const [, second] = found.segments;
    const from = second?.from ?? 0;
    const carrier = `session_id = '${live.id}' and position = ${from}`;
    await change(`update log_carriers set time_us = time_us + 1 where ${carrier}`);
    const changed = await verify(live.id);
    expect(changed.segments.map(({ archive }) => archive).slice(0, 2)).toEqual(['intact', 'damaged']);
    expect(changed.damage).toMatchObject({ segment: 1, position: from });
    await change(`update log_carriers set time_us = time_us - 1 where ${carrier}`);
    expect((await verify(live.id)).damage).toBeNull();
    await change(`delete from log_carriers where ${carrier}`);
    expect((await verify(live.id)).damage).toEqual({
      segment: 1,
      position: from,
      problem: expect.stringMatching(/missing$/) as string,
    });
    await bed.client.beta.sessions.delete(live.id);
  });

  it('goes on from a file with segments of its own', async () => {
    const { live } = await sealed(2);
    const headers = { 'x-api-key': server().apiKey, 'content-type': 'application/x-ndjson' };
    const url = `${server().url}/v1/x/sessions`;
    const file = await (await fetch(`${url}/${live.id}/export`, { headers })).text();
    live.close();
    await bed.client.beta.sessions.delete(live.id);
    expect((await fetch(`${url}/import`, { method: 'POST', headers, body: file })).status).toBe(200);
    const watcher = await bed.watch(live.id);
    await bed.client.beta.sessions.events.send(live.id, { events: [message(script({ say: 'again' }))] });
    await watcher.next('session.status_idle');
    const now = await eventually('its segments', async () => {
      const seen = await verify(live.id);
      return seen.segments.length >= 2 ? seen : undefined;
    });
    expect(now.damage).toBeNull();
    expect(now.segments.every(({ archive }) => archive === 'intact')).toBe(true);
  });
});
