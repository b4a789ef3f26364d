/** The benchmarks. Each starts what it needs, measures, and stops it again. */
import { script } from '../../src/model/directives.ts';
import { cache } from './cache.ts';
import { snapshots } from './snapshots.ts';
import { engine } from './engine.ts';
import { history } from './history.ts';
import { interrupts } from './interrupts.ts';
import {
  clientOf,
  figures,
  makeAgent,
  modelLatency,
  round,
  runTurn,
  warmUp,
  withServer,
  type Result,
  type Scenario,
} from './measure.ts';
import { cpuOf, perUnit } from './processes.ts';
import { sends } from './sends.ts';
import { waiting } from './waiting.ts';

const turn: Scenario = {
  about: 'overhead of a turn: one message, one model request, one session, one turn after another',
  run: () =>
    withServer({ DROVER_SANDBOX: 'bubblewrap' }, async (server) => {
      await warmUp(server);
      const client = clientOf(server);
      const session = await client.beta.sessions.create(await makeAgent(client));
      const idle: number[] = [];
      const first: number[] = [];
      for (let run = 0; run < 150; run += 1) {
        const { idleMs, firstTextMs } = await runTurn(client, session.id, `hello ${run}`);
        idle.push(idleMs);
        first.push(firstTextMs);
      }
      const model = figures(await modelLatency(server, 100));
      const overhead = idle.map((ms) => ms - model.p50);
      return {
        'turn, send to idle': figures(idle),
        'send to first text': figures(first),
        'the model alone': model,
        'overhead of a turn': figures(overhead),
      };
    }),
};

const throughput: Scenario = {
  about: '16 sessions with 4 turns each, all at once',
  run: () =>
    withServer({ DROVER_SANDBOX: 'bubblewrap' }, async (server) => {
      await warmUp(server);
      const client = clientOf(server);
      const made = await makeAgent(client);
      const rates: number[] = [];
      const turns: number[] = [];
      const before = await cpuOf(server);
      for (let round = 0; round < 4; round += 1) {
        const sessions = await Promise.all(
          Array.from({ length: 16 }, () => client.beta.sessions.create(made)),
        );
        const start = performance.now();
        await Promise.all(
          sessions.map(async ({ id }) => {
            for (let count = 0; count < 4; count += 1)
              turns.push((await runTurn(client, id, `go ${count}`)).idleMs);
          }),
        );
        rates.push(64_000 / (performance.now() - start));
      }
      return {
        'turns per second (best of 4)': round(Math.max(...rates)),
        'turns per second (all)': figures(rates),
        'a turn': figures(turns),
        ...perUnit(before, await cpuOf(server), turns.length),
      };
    }),
};

const inFlight: Scenario = {
  about: '8 sessions whose model takes a second: one worker must hold all calls at once',
  run: () =>
    withServer({ DROVER_SANDBOX: 'bubblewrap' }, async (server) => {
      await warmUp(server);
      const client = clientOf(server);
      const made = await makeAgent(client);
      const sessions = await Promise.all(Array.from({ length: 8 }, () => client.beta.sessions.create(made)));
      const start = performance.now();
      const turns = await Promise.all(
        sessions.flatMap(async ({ id }) => {
          const text = script({ delayMs: 1000 }, { say: 'done' });
          return [await runTurn(client, id, text), await runTurn(client, id, text)];
        }),
      );
      return {
        'turns per second': round(16_000 / (performance.now() - start)),
        'a turn': figures(turns.flat().map(({ idleMs }) => idleMs)),
      };
    }),
};

/** New sessions, one at a time and then in bursts, each from nothing to its first text. */
async function firstTexts(
  provision: 'lazy' | 'eager',
  runs: number,
): Promise<Record<'single' | 'burst', number[]>> {
  return withServer({ DROVER_SANDBOX: 'docker', DROVER_PROVISION: provision }, async (server) => {
    const client = clientOf(server);
    const made = await makeAgent(client);
    // The image is made once; the first hand waits for it.
    const first = await client.beta.sessions.create(made);
    await runTurn(client, first.id, script({ call: 'bash', input: { command: 'true' } }, { say: 'ready' }));
    const one = async (): Promise<number> => {
      const start = performance.now();
      const session = await client.beta.sessions.create(made);
      const created = performance.now() - start;
      const { firstTextMs } = await runTurn(client, session.id, script({ say: 'hello' }));
      await client.beta.sessions.archive(session.id);
      return created + firstTextMs;
    };
    const single: number[] = [];
    for (let run = 0; run < runs; run += 1) single.push(await one());
    const burst: number[] = [];
    for (let run = 0; run < runs; run += BURST) {
      burst.push(...(await Promise.all(Array.from({ length: BURST }, one))));
    }
    return { single, burst };
  });
}

const BURST = 4;

const timeToFirstToken: Scenario = {
  about:
    'time to first token of a new session, its container made when needed (lazy) or before (eager), Docker',
  async run() {
    const lazy = await firstTexts('lazy', 20);
    const eager = await firstTexts('eager', 20);
    return {
      ...comparison('one at a time', lazy.single, eager.single),
      ...comparison(`${BURST} at once`, lazy.burst, eager.burst),
    };
  },
};

function comparison(how: string, lazy: readonly number[], eager: readonly number[]): Result {
  const [left, right] = [figures(lazy), figures(eager)];
  const lower = (share: 'p50' | 'p95'): string => `${round((1 - left[share] / right[share]) * 100)} %`;
  return {
    [`${how}, lazy`]: left,
    [`${how}, eager`]: right,
    [`${how}, lazy is lower by`]: `${lower('p50')} at p50, ${lower('p95')} at p95`,
  };
}

/** The benchmarks by name. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  turn,
  throughput,
  'in-flight': inFlight,
  ttft: timeToFirstToken,
  history,
  waiting,
  interrupts,
  sends,
  cache,
  snapshots,
  engine,
};
