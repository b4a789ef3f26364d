/** A session that was deleted and taken in again under its id: nobody takes the old log for the new one. */
import { afterEach, describe, expect, test } from 'vitest';
import type { Engine } from '../../src/engine.ts';
import { newId } from '../../src/id.ts';
import type { Entry } from '../../src/log.ts';
import { SessionGoneError } from '../../src/session.ts';
import { copyEntries, toCarriers } from '../../src/session/copy.ts';
import { created, said } from '../support/conversation.ts';
import { DATABASE_KINDS } from '../support/database.ts';
import { checkLog } from '../support/invariants.ts';
import { eventually } from '../support/process.ts';
import { createAnswers, createWorld, SILENT, type World } from '../support/two-engines.ts';

let world: World;
afterEach(() => world.close());

async function turn({ sessions }: Engine, id: string): Promise<readonly Entry[]> {
  const before = (await sessions.getEvents(id)).length;
  await sessions.emitEvent(id, [said(newId('sevt'), 'hello')]);
  await eventually('the end of the turn', async () => {
    const { loop, length } = await sessions.getSession(id);
    return length > before + 1 && loop.status === 'idle';
  });
  return await sessions.getEvents(id);
}

describe.each(DATABASE_KINDS)('a session that was taken in again (%s)', (kind) => {
  /** Two APIs, and a worker that is about to work; all have read a log that is another one by now. */
  async function setStage() {
    world = await createWorld(kind);
    const open = (): Promise<Engine> => world.open(undefined, 'log');
    const [first, second, worker, next] = [await open(), await open(), await open(), await open()];
    const work = await worker.work(
      createAnswers(() => 0),
      SILENT,
    );
    const id = newId('sesn');
    const seed = created();
    if (!('event' in seed) || seed.event.type !== 'x.session_created') throw new Error('no seed');
    await first.sessions.create(id, { created: { ...seed.event, id: newId('sevt') }, initial: [] });
    const short = await turn(first, id);
    const long = await turn(first, id);
    for (const { sessions } of [second, next]) expect(await sessions.getEvents(id)).toEqual(long);
    const { entries } = await second.sessions.follow(id, new AbortController().signal);
    const told = entries[Symbol.asyncIterator]().next();
    told.catch(() => undefined);
    await first.sessions.remove(id);
    await work.stop();
    await first.sessions.createFrom(id, toCarriers(copyEntries(short)), false);
    return { first, second, next, id, short, told };
  }

  test('reads as what was taken in, in every process', async () => {
    const { first, second, id, short, told } = await setStage();
    expect(await first.sessions.getEvents(id)).toEqual(short);
    expect(await second.sessions.getEvents(id)).toEqual(short);
    expect(await second.sessions.getSession(id)).toMatchObject({ length: short.length });
    await expect(told).rejects.toThrow(SessionGoneError);
  });

  test('goes on from there, whoever works on it', async () => {
    const { second, next, id, short } = await setStage();
    await next.work(
      createAnswers(() => 0),
      SILENT,
    );
    const entries = await turn(second, id);
    expect(entries.slice(0, short.length)).toEqual(short);
    expect(entries.length).toBeGreaterThan(short.length);
    checkLog(entries, true);
  });
});
