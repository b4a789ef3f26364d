/** Scenes in which something is killed: a worker or an API for everybody at once, or the hand of one session. */
import type { Scene, Step, Victim } from './conversation.ts';
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
  turn,
  type Stage,
} from './stage.ts';

const INTERRUPT = send({ type: 'interrupt' });
/** As it came, and as taken up: what it ends must not end by itself meanwhile. */
const TAKEN_UP: Step = { do: 'await', for: 'events', type: 'user.interrupt', count: 2 };

type Write = (stage: Stage, victim: Exclude<Victim, 'hand'>) => Step[];

const MOMENTS: Readonly<Record<string, readonly [weight: number, write: Write]>> = {
  'in a model call': [4, inModelCall],
  'in a tool call': [4, inToolCall],
  'while it waits for the client': [2, whileItWaits],
  'at rest': [1, atRest],
  'before another try': [1, beforeAnotherTry],
};

/** Writes a scene with a SIGKILL of the worker or the API. */
export function killScene(stage: Stage): Scene {
  const { dice } = stage;
  const victim = dice.weigh<Exclude<Victim, 'hand'>>([
    [3, 'worker'],
    [2, 'api'],
  ]);
  const moment = dice.weigh(Object.entries(MOMENTS).map(([key, [weight]]) => [weight, key] as const));
  const [, write = atRest] = MOMENTS[moment] ?? [];
  return { name: `${victim} killed ${moment}`, steps: write(stage, victim) };
}

/** Writes a scene in which the session's own hand is killed. */
export function handScene(stage: Stage): Scene {
  const { dice } = stage;
  const after = [call(stage, 'bash'), { say: 'It was: {{result}}' }];
  if (dice.chance(0.3)) {
    const first = turn(stage, [call(stage, 'bash'), { say: 'It was: {{result}}' }]);
    const kill: Step = { do: 'kill', victim: 'hand' };
    return {
      name: 'hand killed at rest',
      steps: [...first, kill, ...turn(stage, [...after.slice(0, 1), ...after])],
    };
  }
  const { line, started } = gated(stage);
  const beside = dice.chance(0.2) ? [lookup(stage)] : [];
  const queued = dice.chance(0.3) ? [send(smallTalk(stage))] : [];
  const opening = [send(message(stage, [round([line, ...beside]), ...after])), started];
  return {
    name: 'hand killed in a tool call',
    steps: [...opening, ...queued, { do: 'kill', victim: 'hand' }, REST],
  };
}

/** What is done while the process is down, or once it is back. Now and then the other process dies, too. */
function around({ dice }: Stage, victim: Exclude<Victim, 'hand'>, act: readonly Step[]): Step[] {
  const kill: Step = { do: 'kill', victim };
  const other: Step = { do: 'kill', victim: victim === 'api' ? 'worker' : 'api' };
  const kills = dice.chance(0.15) ? [kill, other] : [kill];
  const recover: Step = { do: 'recover', victim };
  return dice.chance(0.5) ? [...kills, ...act, recover] : [...kills, recover, ...act];
}

/** Whether what the kill hits is interrupted afterwards. */
function isInterrupted({ dice }: Stage): boolean {
  return dice.chance(0.25);
}

function inModelCall(stage: Stage, victim: Exclude<Victim, 'hand'>): Step[] {
  const { dice } = stage;
  const { lines, reached, release } = held(stage);
  const opening = dice.chance(0.3) ? [call(stage, 'bash')] : [];
  const closing = dice.chance(0.3) ? [call(stage, 'bash'), { say: 'It was: {{result}}' }] : [];
  const queued = dice.chance(0.3) ? [send(smallTalk(stage))] : [];
  return [
    send(message(stage, [...opening, ...BEFORE, ...lines, ...closing])),
    reached,
    ...queued,
    // What is queued goes on with the script, so its hold must be gone by then.
    ...around(stage, victim, isInterrupted(stage) ? [INTERRUPT, TAKEN_UP, release] : [release]),
    REST,
  ];
}

function inToolCall(stage: Stage, victim: Exclude<Victim, 'hand'>): Step[] {
  const { dice } = stage;
  const { line, started, open } = gated(stage);
  const beside = dice.chance(0.2) ? [lookup(stage)] : [];
  const queued = dice.chance(0.3) ? [send(smallTalk(stage))] : [];
  const closing = [{ call: 'bash', input: { command: 'ls | wc -l' } }, { say: 'It was: {{result}}' }];
  const acted = around(stage, victim, [isInterrupted(stage) ? INTERRUPT : open]);
  return [
    send(message(stage, [round([line, ...beside]), ...closing])),
    started,
    ...queued,
    ...(dice.chance(0.15) ? around(stage, victim, [{ do: 'kill', victim: 'hand' }]) : acted),
    REST,
  ];
}

function whileItWaits(stage: Stage, victim: Exclude<Victim, 'hand'>): Step[] {
  const { dice, policies } = stage;
  const calls = [lookup(stage), ...(dice.chance(0.5) ? [call(stage, policies.asked)] : [])];
  const answers: Step = send(
    { type: 'result', call: 0, content: [] },
    ...(calls.length > 1 ? [{ type: 'confirm' as const, call: 1 }] : []),
  );
  return [
    ...turn(stage, [round(calls), { say: 'I was told: {{results}}' }]),
    ...around(stage, victim, [dice.chance(0.2) ? INTERRUPT : answers]),
    REST,
  ];
}

function atRest(stage: Stage, victim: Exclude<Victim, 'hand'>): Step[] {
  return [...around(stage, victim, [send(message(stage, speech(stage)))]), REST];
}

/** The pause before another try is durable, however long nobody is there. */
function beforeAnotherTry(stage: Stage, victim: Exclude<Victim, 'hand'>): Step[] {
  const failure = { fail: 529, retryAfter: 2, times: 1, id: stage.name() };
  const seen: Step = { do: 'await', for: 'events', type: 'session.status_rescheduled', count: 1 };
  return [
    send(message(stage, [failure, ...speech(stage)])),
    seen,
    { do: 'kill', victim },
    { do: 'recover', victim },
    REST,
  ];
}
