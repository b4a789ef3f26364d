/** Scenes in which the client does something in the middle of a turn: more messages, changes, interrupts. */
import type { Sent, Step } from './conversation.ts';
import {
  BEFORE,
  call,
  gated,
  held,
  lookup,
  message,
  REST,
  round,
  send,
  smallTalk,
  speech,
  toolsUnder,
  turn,
  type Line,
  type Stage,
} from './stage.ts';

const INTERRUPT: Sent = { type: 'interrupt' };

/** Something comes while a command runs or the model speaks; then the turn goes on. */
export function steering(stage: Stage): Step[] {
  const { dice } = stage;
  const extra = steps(stage);
  if (dice.chance(0.4)) {
    const { lines, reached, release } = held(stage);
    const more = dice.chance(0.3) ? [call(stage, 'bash'), { say: 'It was: {{result}}' }] : [];
    return [send(message(stage, [...lines, ...more])), reached, ...extra, release, REST];
  }
  const { line, started, open } = gated(stage);
  const isAnswered = dice.chance(0.25);
  const beside = [
    ...(isAnswered ? [lookup(stage)] : []),
    ...(dice.chance(0.3) ? [call(stage, dice.pick(stage.policies.free))] : []),
  ];
  const answered: Step[] = isAnswered ? [send({ type: 'result', call: 0, content: [] })] : [];
  const more = dice.chance(0.3) ? [{ call: 'bash', input: { command: 'echo again' } }] : [];
  const lines = [round([line, ...beside]), ...more, { say: 'It was: {{results}}' }];
  // Results that are there already stand before what comes now.
  const settled: Step[] =
    beside.length > (isAnswered ? 1 : 0)
      ? [{ do: 'await', for: 'events', type: 'agent.tool_result', count: 1 }]
      : [];
  return [send(message(stage, lines)), started, ...settled, ...answered, ...extra, open, REST];
}

/** What a client may do in the middle of a turn. */
function steps(stage: Stage): Step[] {
  const { dice } = stage;
  const one = (): Step[] =>
    dice.weigh<Step[]>([
      [4, [send(message(stage, speech(stage)))]],
      [2, [send(smallTalk(stage))]],
      [1, [send(smallTalk(stage), message(stage, speech(stage)))]],
      [1, [send(smallTalk(stage), { type: 'system', text: stage.name() })]],
      [1, [{ do: 'update', body: { title: stage.name() } }]],
      [0.5, [{ do: 'update', body: { agent: { tools: toolsUnder(stage.policies).slice(0, 1) } } }]],
      [0.5, [{ do: 'archive' }]],
      [0.5, [{ do: 'delete' }]],
      [0.5, [{ do: 'compact', keepAnswers: 1 }]],
      [0.5, [{ do: 'raise', byCents: dice.int(1, 100) }]],
    ]);
  return [...one(), ...(dice.chance(0.4) ? one() : [])];
}

/** An interrupt, wherever a turn can stand, with and without a message that follows it. */
export function interrupts(stage: Stage): Step[] {
  const { dice } = stage;
  const where = dice.pick([answering, running, waiting, resting, backingOff, judging, queueing] as const);
  const alone = dice.chance(0.1) ? [INTERRUPT, INTERRUPT] : [INTERRUPT];
  const events = dice.chance(0.4) ? [...alone, message(stage, speech(stage))] : alone;
  return where(stage, [send(...events), REST]);
}

type Where = (stage: Stage, interrupt: readonly Step[]) => Step[];

const answering: Where = (stage, interrupt) => {
  const { lines, reached } = held(stage);
  return [send(message(stage, [...BEFORE, ...lines])), reached, ...interrupt];
};

const running: Where = (stage, interrupt) => {
  const { dice, policies } = stage;
  const { line, started } = gated(stage);
  const beside = dice.weigh<Line[]>([
    [4, []],
    [1, [lookup(stage)]],
    [1, [call(stage, policies.asked)]],
  ]);
  const after = turn(stage, [call(stage, 'bash'), { say: 'It was: {{result}}' }]);
  return [
    send(message(stage, [round([line, ...beside]), { say: 'never' }])),
    started,
    ...interrupt,
    ...(dice.chance(0.5) ? after : []),
  ];
};

const waiting: Where = (stage, interrupt) => {
  const { dice, policies } = stage;
  const calls = Array.from({ length: dice.int(1, 3) }, () =>
    dice.chance(0.5) ? lookup(stage) : call(stage, policies.asked),
  );
  return [...turn(stage, [round(calls), { say: 'never' }]), ...interrupt];
};

const resting: Where = (_, interrupt) => [...interrupt];

const backingOff: Where = (stage, interrupt) => {
  const { dice } = stage;
  const failure = { fail: 529, retryAfter: 600, times: 1, id: stage.name() };
  const lines = [...BEFORE, failure, { say: 'late' }];
  const queued = dice.chance(0.3) ? [send(smallTalk(stage))] : [];
  const seen: Step = { do: 'await', for: 'events', type: 'session.status_rescheduled', count: 1 };
  return [send(message(stage, lines)), seen, ...queued, ...interrupt];
};

const judging: Where = (stage, interrupt) => {
  const lines = [...BEFORE, call(stage, stage.policies.judged, 'drover:judge-waits'), { say: 'never' }];
  return [send(message(stage, lines)), { do: 'await', for: 'judge' }, ...interrupt];
};

/** With messages that came before it and have not been taken up. */
const queueing: Where = (stage, interrupt) => {
  const { line, started } = gated(stage);
  return [
    send(message(stage, [line, { say: 'never' }])),
    started,
    send(smallTalk(stage)),
    ...(stage.dice.chance(0.5) ? [send(message(stage, speech(stage)))] : []),
    ...interrupt,
  ];
};
