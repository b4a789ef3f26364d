/** An engine like Temporal's in memory: workflows that interpret the loop, and histories that can be read. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createHistoryChain, type HistorySource } from '../../src/engine/temporal/history-chain.ts';
import { createHistoryCursor } from '../../src/engine/temporal/history-cursor.ts';
import { sealRuns } from '../../src/engine/temporal/sealing.ts';
import type { TemporalPart } from '../../src/engine.ts';
import { createCounter, NO_USAGE, type Counter, type Draft } from '../../src/log.ts';
import { author, decide, isBetweenTurns, type Operation } from '../../src/loop.ts';
import { began, closed, EMPTY, ended, fold, type LoopState } from '../../src/loop/state.ts';
import type { WrittenCarrier } from '../../src/session/archive.ts';
import { LogClosedError } from '../../src/session/backend.ts';
import type { Homes } from '../../src/session/home.ts';
import { SessionGoneError } from '../../src/session.ts';
import { workflowIdOf, type SessionInput } from '../../workflows/messages.ts';
import { completed, createFakeSource, ENDED, noted, signaled, started, type FakeSource } from './history.ts';

/** Workflows, shared by all processes of a test. */
export interface FakeTemporal {
  /** The engine, as a process has it that knows these homes. */
  part(homes: Homes): TemporalPart;
  /** The workflows that run. */
  readonly running: readonly string[];
}

interface Workflow {
  readonly source: FakeSource;
  readonly counter: Counter;
  state: LoopState;
  isOpen: boolean;
  isLeaving: boolean;
  /** Whether it knows that it is where the session lives. */
  isReady: boolean;
}

const RUN = 'run';
const pen = { newId: () => `sevt_${randomUUID()}`, nowMs: () => Date.now() };

/** What a model answers that never calls tools. */
export function answerOf(spanId: string, text: string): Draft[] {
  const end = { model_request_start_id: spanId, is_error: false, model_usage: NO_USAGE };
  return [
    { event: { id: pen.newId(), type: 'agent.message', content: [{ type: 'text', text }] } },
    {
      event: { id: pen.newId(), type: 'span.model_request_end', ...end },
      extra: { outcome: { stop: 'end_turn' } },
    },
  ];
}

/** `thinkMs`: how long the model takes. */
export function createFakeTemporal(thinkMs: () => number): FakeTemporal {
  const workflows = new Map<string, Workflow>();

  function write(workflow: Workflow, kind: (drafts: readonly Draft[]) => object, drafts: readonly Draft[]) {
    if (drafts.length > 0) workflow.source.add(RUN, [kind(drafts)]);
    const by = kind === signaled ? 'client' : 'server';
    const entries = drafts.filter((draft) => workflow.counter.admits(draft, by));
    workflow.state = fold(workflow.state, entries, Date.now());
  }

  function advance(workflow: Workflow): void {
    while (workflow.isOpen && workflow.isReady) {
      const { state } = workflow;
      const step = decide(state);
      if (step?.finish || (workflow.isLeaving && isBetweenTurns(state))) return end(workflow);
      if (!step) return;
      write(workflow, noted, author(state, step.write, pen));
      for (const operation of step.start) void perform(workflow, operation);
    }
  }

  async function perform(workflow: Workflow, { kind }: Operation): Promise<void> {
    const { phase } = workflow.state;
    workflow.state = began(workflow.state, kind);
    await sleep(thinkMs());
    if (!workflow.isOpen) return;
    write(workflow, completed, phase.at === 'thinking' ? answerOf(phase.spanId, 'by Temporal') : []);
    workflow.state = ended(workflow.state, kind);
    advance(workflow);
  }

  function end(workflow: Workflow): void {
    workflow.isOpen = false;
    workflow.source.add(RUN, [ENDED]);
  }

  function start(id: string, { drafts, origin }: SessionInput): Workflow | undefined {
    if (workflows.has(id)) return undefined;
    const workflow: Workflow = {
      source: createFakeSource({ pageSize: 5 }),
      counter: createCounter(origin?.tally),
      state: origin?.state ?? EMPTY,
      isOpen: true,
      isLeaving: false,
      isReady: origin === undefined,
    };
    workflow.source.add(RUN, [started(drafts, origin?.tally)]);
    const entries = drafts.filter((draft) => workflow.counter.admits(draft, 'server'));
    workflow.state = fold(workflow.state, entries, Date.now());
    workflows.set(id, workflow);
    return workflow;
  }

  function open(id: string): Workflow {
    const workflow = workflows.get(id);
    if (!workflow?.isOpen) throw new LogClosedError(`no workflow ${id} runs`);
    return workflow;
  }

  /** The history of what has this id when it is asked. */
  function sourceOf(id: string): HistorySource {
    const find = (): HistorySource => {
      const source = workflows.get(id)?.source;
      if (!source) throw new SessionGoneError(`no session ${id}`);
      return source;
    };
    return {
      firstRunId: async () => find().firstRunId(),
      head: async () => find().head(),
      page: async (...args) => find().page(...args),
      unpack: async (entry) => entry,
    };
  }

  function erase(id: string): void {
    const workflow = workflows.get(id);
    if (workflow) workflow.isOpen = false;
    workflow?.source.vanish();
    workflows.delete(id);
  }

  return {
    get running() {
      return [...workflows].flatMap(([id, { isOpen }]) => (isOpen ? [id] : []));
    },
    part: (homes) => ({
      backendAt: ({ life, ...home }) => ({
        async start(id, _seed, { created, initial }) {
          const workflow = start(workflowIdOf(id, 1), { v: 1, drafts: created });
          if (workflow) write(workflow, signaled, initial);
          if (workflow) advance(workflow);
        },
        async emit(id, drafts) {
          const workflow = open(workflowIdOf(id, life));
          write(workflow, signaled, drafts);
          setImmediate(() => advance(workflow));
        },
        async wake(id) {
          advance(open(workflowIdOf(id, life)));
        },
        async remove(id) {
          const workflow = workflows.get(workflowIdOf(id, life));
          if (workflow) workflow.state = closed(workflow.state);
          for (let past = 1; past <= life; past += 1) erase(workflowIdOf(id, past));
        },
        cursor: (id) =>
          createHistoryCursor(sourceOf(workflowIdOf(id, life)), {
            ...home,
            read: (position, limit) => homes.read(id, position, limit),
          }),
      }),
      lives: {
        async begin(id, { life }, { state, tally }) {
          const origin = { sessionId: id, life, tally, state };
          const workflow = start(workflowIdOf(id, life), { v: 1, drafts: [], origin });
          if (!workflow) return;
          void homes.find(id).then((home) => {
            workflow.isReady = true;
            const isAtHome = home?.engine === 'temporal' && home.life === life && !home.isClosing;
            if (isAtHome) advance(workflow);
            else end(workflow);
          });
        },
        async end(id, { life }, signal) {
          const workflow = workflows.get(workflowIdOf(id, life));
          if (workflow) workflow.isLeaving = true;
          if (workflow) advance(workflow);
          const chain = createHistoryChain(sourceOf(workflowIdOf(id, life)));
          const carriers: WrittenCarrier[] = [];
          while (!chain.closed) carriers.push(...(await chain.next(signal)).carriers);
          return carriers;
        },
        read: async () => undefined,
        seal: (id, life) =>
          sealRuns({ homes, pagesOf: (session, at) => sourceOf(workflowIdOf(session, at)) }, id, life),
        undo: async (id, { life }) => erase(workflowIdOf(id, life)),
      },
      check: async () => undefined,
      work: async () => ({ stop: async () => undefined }),
      close: async () => undefined,
    }),
  };
}
