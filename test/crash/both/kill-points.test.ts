/** A process dies before or after a step of a session that changes its engine, or that goes on in another life. */
import { Client } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTemporal } from '../../../src/temporal-server/connection.ts';
import { patiently, startMortalServer, type MortalServer } from '../../support/crash-kill-points.ts';
import { eventually } from '../../support/process.ts';

type Engine = 'temporal' | 'log';
interface Whereabouts {
  readonly engine: Engine;
  readonly moving_to: Engine | null;
}

let mortal: MortalServer;

beforeAll(async () => {
  mortal = await startMortalServer();
});

afterAll(async () => {
  await mortal.stop();
});

/** Asks for a move, and again where nobody answers, until the session is there. */
async function move(id: string, to: Engine): Promise<void> {
  const { client } = mortal;
  await eventually(
    `the session on the ${to} engine`,
    async () => {
      await client.post(`/v1/x/sessions/${id}/move`, { body: { to } }).catch(() => undefined);
      const now = (await client.get(`/v1/x/sessions/${id}`).catch(() => undefined)) as
        | Whereabouts
        | undefined;
      return now?.engine === to && now.moving_to === null;
    },
    60_000,
  );
}

describe.each(['before', 'after'] as const)('a process that dies %s', (side) => {
  it('a step of a move: the session arrives, there and back', async () => {
    const id = await mortal.create();
    expect(await mortal.talk(id, ['tool'])).toEqual([]);
    for (const to of ['log', 'temporal'] as const) {
      await mortal.dyingAt(`${side} move`, () => move(id, to));
      expect(await mortal.talk(id, ['tool'])).toEqual([]);
    }
  });

  it('a session is taken up again whose workflow was terminated: it goes on', async () => {
    const id = await mortal.create();
    expect(await mortal.talk(id, ['tool'])).toEqual([]);
    const connection = await connectTemporal(mortal.server.temporalAddress ?? '');
    const { workflow } = new Client({ connection, namespace: 'drover' });
    await workflow.getHandle(id).terminate('by an operator');
    await connection.close();
    await mortal.dyingAt(`${side} revive`, () =>
      patiently('the session to be woken', () =>
        mortal.client.post(`/v1/x/sessions/${id}/wake`, { body: {} }),
      ),
    );
    expect(await mortal.talk(id, ['tool'])).toEqual([]);
  });
});
