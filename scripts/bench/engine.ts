/**
 * The log engine alone, in one process: a client, a harness, a log on disk with all its syncs, and between them a model
 * and a tool that answer at once. What other durable runtimes are measured by; the servers around it are in `turn`.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import type { Blobs } from '../../src/blobs.ts';
import { openEngine } from '../../src/engine.ts';
import { newId } from '../../src/id.ts';
import { NO_USAGE, type Draft } from '../../src/log.ts';
import { RUN_LIMITS } from '../../src/loop/run-limits.ts';
import { completePolicy } from '../../src/loop/state.ts';
import type { Operations } from '../../src/operations.ts';
import type { Sessions } from '../../src/session.ts';
import { figures, round, type Result, type Scenario } from './measure.ts';

const RESULT_BYTES = 1024;
const NO_NOTICES = { origin: '', announce: () => undefined, listen: () => () => undefined };
const LOG = { info: () => undefined, warn: () => undefined, error: () => undefined };
const NO_BLOBS: Blobs = {
  put: async () => ({ sha256: '', bytes: 0 }),
  get: async () => '',
  putBytes: async () => undefined,
  getBytes: async () => new Uint8Array(),
  has: async () => new Set(),
  copy: async () => undefined,
  removeAll: async () => undefined,
};

/** `engine`. */
export const engine: Scenario = {
  about: 'the log engine alone, two durable steps a turn (a tool call and an answer), model and tool at once',
  async run(): Promise<Result> {
    const dataDir = await mkdtemp(join(tmpdir(), 'drover-engine-'));
    const temporal = { address: undefined, namespace: '', taskQueue: '', runs: RUN_LIMITS };
    const database = { kind: 'sqlite', path: join(dataDir, 'drover.db') } as const;
    const config = { engine: 'log', dataDir, database, temporal } as const;
    const opened = await openEngine({ config, blobs: NO_BLOBS, notices: NO_NOTICES });
    const harness = await opened.work(createFakes(opened.sessions), LOG);
    try {
      const one = await create(opened.sessions);
      for (let turn = 0; turn < 50; turn += 1) await runTurn(opened.sessions, one);
      const alone: number[] = [];
      for (let turn = 0; turn < 300; turn += 1) alone.push(await runTurn(opened.sessions, one));
      const rates: number[] = [];
      const before = process.cpuUsage();
      for (let turn = 0; turn < 10; turn += 1) {
        const all = await Promise.all(Array.from({ length: 16 }, () => create(opened.sessions)));
        const start = performance.now();
        await Promise.all(
          all.map(async (id) => {
            for (let count = 0; count < 4; count += 1) await runTurn(opened.sessions, id);
          }),
        );
        rates.push(64_000 / (performance.now() - start));
      }
      const used = process.cpuUsage(before);
      return {
        'a turn of a session alone': figures(alone),
        'turns per second, 16 sessions × 4 turns': figures(rates),
        'CPU ms per turn, all of it': round((used.user + used.system) / 1000 / 640),
      };
    } finally {
      await harness.stop();
      await opened.close();
      await rm(dataDir, { recursive: true });
    }
  },
};

async function create(sessions: Sessions): Promise<string> {
  const id = newId('sesn');
  await sessions.create(id, {
    created: {
      id: newId('sevt'),
      type: 'x.session_created',
      agent: { name: 'bench' },
      agent_name: 'bench',
      model: 'claude-sonnet-5',
      mcp_servers: [],
      environment_id: 'env',
      workspace_id: 'wrkspc',
      title: null,
      metadata: {},
      thread_id: newId('sthr'),
      policy: completePolicy(),
      budget: null,
    },
    initial: [],
  });
  return id;
}

async function runTurn(sessions: Sessions, id: string): Promise<number> {
  const over = new AbortController();
  const { entries } = await sessions.follow(id, over.signal);
  const start = performance.now();
  const content = [{ type: 'text' as const, text: 'go' }];
  await sessions.emitEvent(id, [{ event: { id: newId('sevt'), type: 'user.message', content } }]);
  for await (const piece of entries)
    if (piece.some(({ event }) => event.type === 'session.status_idle')) break;
  over.abort();
  return performance.now() - start;
}

/** A model that calls one tool and then answers, and a tool that gives back a kilobyte. */
function createFakes(sessions: Sessions): Operations {
  const id = (): string => newId('sevt');
  return {
    async think({ sessionId, spanId }) {
      const entries = await sessions.getEvents(sessionId, { throughId: spanId });
      const isSecond = entries.at(-2)?.event.type === 'agent.tool_result';
      const said: Draft = isSecond
        ? {
            event: { id: id(), type: 'agent.message', content: [{ type: 'text', text: 'done '.repeat(40) }] },
          }
        : {
            event: {
              id: id(),
              type: 'agent.tool_use',
              name: 'bash',
              input: { command: 'printf' },
              evaluated_permission: 'allow',
              evaluation: { type: 'always_allow' },
            },
          };
      const end = { model_request_start_id: spanId, is_error: false, model_usage: NO_USAGE };
      const stop = isSecond ? 'end_turn' : 'tool_use';
      return [
        said,
        { event: { id: id(), type: 'span.model_request_end', ...end }, extra: { outcome: { stop } } },
      ];
    },
    provision: async () => [
      { event: { id: id(), type: 'x.hand_provisioned', hand: { id: 'h', kind: 'none' } } },
    ],
    async execute({ callId }) {
      const content = [{ type: 'text' as const, text: 'x'.repeat(RESULT_BYTES) }];
      return [
        { event: { id: id(), type: 'agent.tool_result', tool_use_id: callId, content, is_error: false } },
      ];
    },
    recall: async () => [],
    release: async () => undefined,
  };
}
