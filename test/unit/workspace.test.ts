/** What a log says of the workspace at each of its positions. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Body, Draft, Entry, Extra } from '../../src/log.ts';
import { INTERRUPTED } from '../../src/loop.ts';
import { workspaceAt, type WorkspaceAt } from '../../src/session/workspace.ts';
import { created } from '../support/conversation.ts';
import { collectLog } from '../support/projection.ts';

const HAND = { id: 'hand_1', kind: 'test' };
let ids = 0;

/** Entries of drafts, written one after another. */
function log(...drafts: Draft[]): readonly Entry[] {
  const projection = collectLog();
  drafts.forEach((draft, at) => {
    const isClients = 'event' in draft && draft.event.type.startsWith('user.');
    projection.append([draft], 1000 * (at + 1), isClients ? 'client' : 'server');
  });
  return projection.entries;
}

function bodyOf(body: object): Body {
  ids += 1;
  return { id: `sevt_${ids}`, ...body } as Body;
}

function event(body: object): Draft {
  return { event: bodyOf(body) };
}

const withExtra = (body: object, extra: Extra): Draft => ({ event: bodyOf(body), extra });
const asked = (...calls: Draft[]): Draft[] => [
  event({ type: 'span.model_request_start' }),
  ...calls,
  withExtra(
    { type: 'span.model_request_end', model_request_start_id: 'span', is_error: false, model_usage: USAGE },
    { outcome: { stop: 'tool_use' } },
  ),
];
const USAGE = {
  input_tokens: 0,
  output_tokens: 0,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
};
const use = (id: string, name = 'bash', permission = 'allow'): Draft =>
  event({ id, type: 'agent.tool_use', name, input: {}, evaluated_permission: permission });
const result = (callId: string, text = 'fine', isError = false): Draft =>
  event({
    type: 'agent.tool_result',
    tool_use_id: callId,
    content: [{ type: 'text', text }],
    is_error: isError,
  });
const made = (snapshot: string | null | undefined = null, hand = HAND): Draft =>
  event({ type: 'x.hand_provisioned', hand, ...(snapshot !== undefined && { snapshot }) });
const kept = (callId: string, snapshot: string, takenUs = 1, handId = HAND.id): Draft =>
  event({
    type: 'x.hand_snapshot',
    hand_id: handId,
    tool_use_id: callId,
    snapshot,
    bytes: 1,
    added_bytes: 1,
    taken_us: takenUs,
  });
const notKept = (callId: string, reason: string): Draft =>
  event({ type: 'x.hand_snapshot', hand_id: HAND.id, tool_use_id: callId, reason });
const lost = event({ type: 'x.hand_lost', hand_id: HAND.id, reason: 'killed' });
const is = (snapshot: string): WorkspaceAt => ({ state: 'snapshot', snapshot });
const start = [created(), ...asked(use('a')), made()];

/** At the end of these. */
function at(...drafts: Draft[]): WorkspaceAt {
  return workspaceAt(log(...drafts), []);
}

describe('the workspace', () => {
  test('is empty before any sandbox was used, and in a fresh one', () => {
    expect(at(created())).toEqual({ state: 'empty', reason: 'no sandbox was used' });
    expect(at(...start)).toMatchObject({ state: 'empty' });
    expect(at(created(), ...asked(use('a', 'read')), made(), result('a'))).toMatchObject({ state: 'empty' });
  });

  test('is what the last call has left', () => {
    const one = [...start, result('a'), kept('a', 'one')];
    expect(at(...one)).toEqual(is('one'));
    expect(at(...one, ...asked(use('b', 'grep')), result('b'))).toEqual(is('one'));
    expect(at(...one, ...asked(use('b')), result('b'), kept('b', 'two', 2))).toEqual(is('two'));
  });

  test('is known behind a result whose snapshot stands further on', () => {
    const whole = log(...start, result('a'), kept('a', 'one'));
    expect(workspaceAt(whole.slice(0, -1), whole.slice(-1))).toEqual(is('one'));
    expect(workspaceAt(whole.slice(0, -1), [])).toMatchObject({ state: 'none' });
    // That of a call which is not over at the position is not taken.
    expect(workspaceAt(whole.slice(0, -2), whole.slice(-1))).toMatchObject({ state: 'empty' });
  });

  test('is the newest of those of calls that ran side by side, in whatever order they were written', () => {
    const both = [created(), ...asked(use('a'), use('b')), made()];
    const a = [result('a'), kept('a', 'with both', 7)];
    const b = [result('b'), kept('b', 'with b', 3)];
    expect(at(...both, ...a, ...b)).toEqual(is('with both'));
    expect(at(...both, ...b, ...a)).toEqual(is('with both'));
  });

  test('is not known where one of calls that ran side by side has no snapshot; the next answer can say', () => {
    const both = [created(), ...asked(use('a'), use('b')), made()];
    const a = [result('a'), notKept('a', 'it was too large')];
    const b = [result('b'), kept('b', 'torn', 3)];
    const none = { state: 'none', reason: 'no snapshot was taken: it was too large' };
    expect(at(...both, ...a, ...b)).toEqual(none);
    expect(at(...both, ...b, ...a)).toEqual(none);
    const next = [...asked(use('c')), result('c'), kept('c', 'whole', 9)];
    expect(at(...both, ...a, ...b, ...next)).toEqual(is('whole'));
  });

  test('is not known while a call runs that had begun', () => {
    const both = [created(), ...asked(use('a'), use('b')), made()];
    const none = { state: 'none', reason: 'a call was under way' };
    expect(at(...both)).toMatchObject({ state: 'empty' });
    expect(at(...both, result('a'), kept('a', 'torn'))).toEqual(none);
    const message = event({ type: 'user.message', content: [] });
    expect(at(...start, message)).toEqual(none);
    expect(at(created(), ...asked(use('a', 'read')), made(), message)).toMatchObject({ state: 'empty' });
    expect(at(...start, result('a'), kept('a', 'one'), message)).toEqual(is('one'));
  });

  test('is not changed by calls that were never run', () => {
    const one = [...start, result('a'), kept('a', 'one')];
    expect(at(...one, ...asked(use('b', 'bash', 'deny')), result('b', 'off', true))).toEqual(is('one'));
    const waiting = [...one, ...asked(use('b', 'bash', 'ask'))];
    expect(at(...waiting)).toEqual(is('one'));
    expect(at(...waiting, result('b', INTERRUPTED, true))).toEqual(is('one'));
    const confirm = (answer: string): Draft =>
      event({ type: 'user.tool_confirmation', tool_use_id: 'b', result: answer });
    expect(at(...waiting, confirm('deny'), confirm('allow'), result('b', 'denied', true))).toEqual(is('one'));
    const ran = [...waiting, confirm('allow'), result('b'), kept('b', 'two', 2)];
    expect(at(...ran)).toEqual(is('two'));
    expect(at(...one, ...asked(use('b')), result('b', INTERRUPTED, true))).toEqual(is('one'));
    const call = { type: 'agent.tool_use', name: 'recall', input: {}, evaluated_permission: 'allow' };
    const recalled = withExtra({ id: 'r', ...call }, { runner: 'log' });
    expect(at(...one, ...asked(recalled), result('r'))).toEqual(is('one'));
  });

  test('is not known after a call that failed without anybody knowing what it had done', () => {
    expect(at(...start, result('a', 'The tool could not be run: ...', true))).toMatchObject({
      state: 'none',
    });
  });

  test('is lost with its sandbox; the next one is fresh', () => {
    const gone = [
      ...start,
      result('a'),
      kept('a', 'one'),
      ...asked(use('b')),
      result('b', 'lost', true),
      lost,
    ];
    expect(at(...gone)).toEqual({ state: 'none', reason: 'the sandbox was lost, and its files with it' });
    const fresh = [...gone, ...asked(use('c')), made(null, { id: 'hand_2', kind: 'test' })];
    expect(at(...fresh)).toMatchObject({ state: 'empty' });
    expect(at(...fresh, result('c'), kept('c', 'new', 1, 'hand_2'))).toEqual(is('new'));
  });

  test('is not known in logs of before there were snapshots, until there is one', () => {
    const old = [created(), ...asked(use('a')), event({ type: 'x.hand_provisioned', hand: HAND })];
    expect(at(...old)).toMatchObject({ state: 'empty' });
    const reason = 'the sandbox was used by a version of Drover that took no snapshots';
    expect(at(...old, result('a'))).toEqual({ state: 'none', reason });
    expect(at(...old, result('a', INTERRUPTED, true))).toEqual({ state: 'none', reason });
    const next = [...asked(use('b')), result('b'), kept('b', 'whole')];
    expect(at(...old, result('a'), ...next)).toEqual(is('whole'));
  });

  test('of a fork is what it was given, until its first sandbox is used', () => {
    const one = [...start, result('a'), kept('a', 'one')];
    const mark = (snapshot?: string): Draft =>
      event({ type: 'x.session_forked', session_id: 's', position: 1, ...(snapshot && { snapshot }) });
    expect(at(...one, mark('one'))).toEqual(is('one'));
    expect(at(...one, mark())).toMatchObject({ state: 'empty' });
    const fork = [...one, mark('one'), ...asked(use('b')), made('one', { id: 'hand_2', kind: 'test' })];
    expect(at(...fork)).toEqual(is('one'));
    expect(at(...fork, result('b'), kept('b', 'two', 1, 'hand_2'))).toEqual(is('two'));
  });

  test('is right or not known at every position, however calls that run side by side end', () => {
    /** Of each call: when it ends, is looked at, and is written, in this order. */
    const moments = fc
      .tuple(fc.nat(99), fc.nat(99), fc.nat(99))
      .map((some) => some.toSorted((l, r) => l - r));
    const answers = fc.array(fc.array(moments, { minLength: 1, maxLength: 4 }), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(answers, (batches) => {
        const drafts: Draft[] = [created()];
        /** What the workspace is at the position of each draft; undefined while calls run. */
        const truth: (string | undefined)[] = [undefined];
        let version = 0;
        let takenUs = 0;
        batches.forEach((batch, number) => {
          const id = (call: number): string => `${number}-${call}`;
          const order = asked(...batch.map((_, call) => use(id(call))));
          drafts.push(...order, ...(number === 0 ? [made()] : []));
          while (truth.length < drafts.length) truth.push(version === 0 ? 'empty' : `v${version}`);
          const steps = batch
            .flatMap((times, call) => times.map((time, step) => ({ time, step, call })))
            .sort((left, right) => left.time - right.time || left.step - right.step);
          const looks = new Map<number, Draft>();
          let left = batch.length;
          for (const { step, call } of steps) {
            if (step === 0) version += 1;
            if (step === 1) looks.set(call, kept(id(call), `v${version}`, (takenUs += 1)));
            if (step !== 2) continue;
            left -= 1;
            drafts.push(result(id(call)), looks.get(call) ?? result('none'));
            truth.push(...Array.from({ length: 2 }, () => (left === 0 ? `v${version}` : undefined)));
          }
        });
        const entries = log(...drafts);
        const snapshots = entries.filter(({ event: { type } }) => type === 'x.hand_snapshot');
        entries.forEach((_, position) => {
          if (position === 0) return;
          const before = entries.slice(0, position + 1);
          const behind = snapshots.filter((entry) => entry.position > position);
          const found = workspaceAt(before, behind);
          const told = found.state === 'snapshot' ? found.snapshot : found.state;
          expect(told, `at ${position}`).toBe(truth[position] ?? 'none');
        });
      }),
    );
  });
});
