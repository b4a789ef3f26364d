/** A process dies just before, or just after, each thing that it leaves: the conversation is as if it had not. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listAll } from '../../scripts/compare/follow.ts';
import type { KillAct } from '../../src/kill-point.ts';
import { patiently, startMortalServer, type MortalServer } from '../support/crash-kill-points.ts';
import { engineOfRun } from '../support/server.ts';

/** History events of a run, or entries of a segment: so few that one is sealed within a conversation. */
const RUN_EVENTS = 30;

/** What a conversation passes, from the session's making on. */
const ON_BOTH: readonly KillAct[] = [
  'record',
  'start',
  'emit',
  'blob',
  'answer',
  'hand',
  'tool',
  'operation',
];
const ACTS: readonly KillAct[] = [
  ...ON_BOTH,
  'seal',
  ...(engineOfRun() === 'log' ? (['append'] as const) : []),
];

let mortal: MortalServer;

beforeAll(async () => {
  mortal = await startMortalServer({ DROVER_RUN_EVENTS: String(RUN_EVENTS) });
});

afterAll(async () => {
  await mortal.stop();
});

describe.each(['before', 'after'] as const)('a process that dies %s', (side) => {
  it.each(ACTS)('%s: nothing is lost, doubled or run twice', async (act) => {
    const found = await mortal.dyingAt(`${side} ${act}`, async () =>
      mortal.talk(await mortal.create(), ['heavy', 'lookup']),
    );
    expect(found).toEqual([]);
  });

  it('a fork begins: there is one in the end, with the log of the original', async () => {
    const session = await mortal.create();
    expect(await mortal.talk(session, ['tool'])).toEqual([]);
    const fork = await mortal.dyingAt(`${side} bear`, () =>
      patiently('a fork', async () => {
        const answer: { id: string } = await mortal.client.post(`/v1/x/sessions/${session}/fork`, {
          body: {},
        });
        return answer.id;
      }),
    );
    expect(await listAll(mortal.client, fork)).toEqual(await listAll(mortal.client, session));
  });
});
