/**
 * A session without any engine: the pure loop, interpreted in memory, with every outside event chosen by the test.
 * The log is the projection of what is written, as on a real engine.
 */
import { createCounter, NO_USAGE, type Draft, type ModelOutcome, type SessionPolicy } from '../../src/log.ts';
import { author, decide, INTERRUPTED, type Operation } from '../../src/loop.ts';
import { began, cancelled, EMPTY, ended, fold, type LoopState } from '../../src/loop/state.ts';
import type { Budget } from '../../src/wire/budget.ts';
import type { Evaluation, EventBody, Permission, SpanUsage } from '../../src/wire/event.ts';
import { foldView } from '../../src/view.ts';
import { policyOf } from './policy.ts';
import { collectLog, type CollectedLog } from './projection.ts';

export interface Running {
  readonly operation: Operation;
  readonly spanId: string;
  cancelled: boolean;
}

export interface Simulation {
  readonly log: CollectedLog;
  readonly running: Running[];
  readonly finished: boolean;
  state(): LoopState;
  /** A client's events arrive. */
  send(...events: EventBody[]): void;
  /** A client changes the session. */
  update(changes: { budget?: Budget | null }): void;
  /** A client asks for a compaction. */
  wish(keepAnswers?: number): void;
  /** Everything but the log dies: what was under way is lost, and the loop goes on from what the log says. */
  crash(): void;
  /** An operation ends with these drafts. */
  finish(running: Running, drafts: readonly Draft[]): void;
  id(prefix?: string): string;
}

/** Starts a session and lets the loop run until it waits. */
export function simulate(
  options: Partial<SessionPolicy> & { mcpServers?: string[]; budget?: Budget | null } = {},
): Simulation {
  const log = collectLog();
  const counter = createCounter();
  const running: Running[] = [];
  let state = EMPTY;
  let clock = 1_000_000;
  let ids = 0;
  let finished = false;
  const id = (prefix = 'sevt'): string => `${prefix}_${(ids += 1)}`;

  function write(drafts: readonly Draft[], who: 'client' | 'server'): void {
    clock += 1000;
    log.append(drafts, clock * 1000, who);
    const entries = drafts.filter((draft) => counter.admits(draft, who));
    state = fold(state, entries, clock);
  }

  function settle(): void {
    for (let rounds = 0; ; rounds += 1) {
      if (rounds > 50) throw new Error('the loop does not come to rest');
      const step = decide(state);
      if (!step) return;
      if (step.finish) {
        finished = true;
        return;
      }
      if (step.cancel) {
        state = cancelled(state);
        for (const one of running) one.cancelled = true;
        continue;
      }
      write(author(state, step.write, { newId: id, nowMs: () => clock }), 'server');
      for (const operation of step.start) {
        const spanId = state.phase.at === 'thinking' ? state.phase.spanId : '';
        running.push({ operation, spanId, cancelled: false });
        state = began(state, operation.kind, operation.kind === 'tool' ? operation.callId : '');
      }
    }
  }

  const created: Draft = {
    event: {
      id: id(),
      type: 'x.session_created',
      agent: { name: 'tester', model: { id: 'claude-sonnet-5' }, tools: [] },
      agent_name: 'tester',
      model: 'claude-sonnet-5',
      mcp_servers: options.mcpServers ?? [],
      environment_id: 'env_1',
      workspace_id: 'wrkspc_1',
      title: null,
      metadata: {},
      thread_id: 'sthr_1',
      policy: policyOf(options),
      budget: options.budget ?? null,
    },
  };
  write([created], 'server');
  settle();

  return {
    log,
    running,
    get finished() {
      return finished;
    },
    state: () => state,
    id,
    send(...events) {
      write(
        events.map((event) => ({ event })),
        'client',
      );
      settle();
    },
    update(changes) {
      write([{ event: { id: id(), type: 'session.updated', ...changes } }], 'client');
      settle();
    },
    wish(keepAnswers) {
      const settings = keepAnswers === undefined ? {} : { keep_answers: keepAnswers };
      write([{ event: { id: id(), type: 'x.compaction_requested', ...settings } }], 'client');
      settle();
    },
    crash() {
      running.length = 0;
      state = foldView(undefined, log.entries).loop;
      settle();
    },
    finish(one, drafts) {
      running.splice(running.indexOf(one), 1);
      const { operation } = one;
      if (drafts.length > 0) write(drafts, 'server');
      state = ended(state, operation.kind, operation.kind === 'tool' ? operation.callId : '');
      settle();
    },
  };
}

/** A user's message. */
export function message(id: string, text = 'hello'): EventBody {
  return { id, type: 'user.message', content: [{ type: 'text', text }] };
}

/** What a model request that ended so writes. */
export function answer(
  simulation: Pick<Simulation, 'id'>,
  spanId: string,
  parts: {
    text?: string;
    tools?: string[];
    asks?: string[];
    /** Calls under `auto`: what the judge said of each. */
    judged?: ('allow' | 'ask' | 'deny')[];
    custom?: string[];
    outcome: ModelOutcome;
    usage?: SpanUsage;
  },
): Draft[] {
  let block = 0;
  const at = (): { blocks: number[]; callId: string } => ({
    blocks: [block],
    callId: `toolu_${spanId}_${(block += 1)}`,
  });
  const tool = (name: string, permission: Permission, evaluation: Evaluation): Draft => ({
    event: {
      id: simulation.id(),
      type: 'agent.tool_use',
      name,
      input: {},
      evaluated_permission: permission,
      evaluation,
    },
    extra: at(),
  });
  const text: Draft[] = parts.text
    ? [
        {
          event: {
            id: simulation.id(),
            type: 'agent.message',
            content: [{ type: 'text', text: parts.text }],
          },
          extra: { blocks: [block++] },
        },
      ]
    : [];
  const custom = (parts.custom ?? []).map((name): Draft => ({
    event: { id: simulation.id(), type: 'agent.custom_tool_use', name, input: {} },
    extra: at(),
  }));
  return [
    ...text,
    ...(parts.tools ?? []).map((name) => tool(name, 'allow', { type: 'always_allow' })),
    ...(parts.asks ?? []).map((name) => tool(name, 'ask', { type: 'always_ask' })),
    ...(parts.judged ?? []).map((type) =>
      tool('bash', type, {
        type: 'auto',
        evaluated_permission:
          type === 'allow'
            ? { type }
            : { type, reason_code: type === 'deny' ? 'high_risk' : 'indeterminate' },
      }),
    ),
    ...custom,
    {
      event: {
        id: simulation.id(),
        type: 'span.model_request_end',
        model_request_start_id: spanId,
        is_error: parts.outcome.stop === 'failed',
        model_usage: parts.usage ?? NO_USAGE,
      },
      extra: { outcome: parts.outcome },
    },
  ];
}

/** What a tool writes; a cancelled one says so. */
export function toolResult(simulation: Pick<Simulation, 'id'>, one: Running, text = 'ok'): Draft[] {
  if (one.operation.kind !== 'tool') throw new Error('not a tool');
  const content = [{ type: 'text' as const, text: one.cancelled ? INTERRUPTED : text }];
  return [
    {
      event: {
        id: simulation.id(),
        type: 'agent.tool_result',
        tool_use_id: one.operation.callId,
        content,
        is_error: one.cancelled,
      },
    },
  ];
}

/** The types of the log's events, hidden ones left out. */
export function typesOf(simulation: Simulation): string[] {
  return simulation.log.entries.map(({ event }) => event.type).filter((type) => !type.startsWith('x.'));
}
