import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Draft } from '../../src/log.ts';
import { EMPTY, fold } from '../../src/loop/state.ts';
import { foldView } from '../../src/view.ts';
import { AGENT, conversations, created, entriesOf, said, type Carrier } from '../support/conversation.ts';

const server = (...drafts: Draft[]): Carrier => ({ drafts, author: 'server' });
const client = (...drafts: Draft[]): Carrier => ({ drafts, author: 'client' });
const at = (microseconds: number): string => `1970-01-01T00:00:00.${String(microseconds).padStart(6, '0')}Z`;

describe('a view', () => {
  test('begins with what the session was created as', () => {
    expect(foldView(undefined, entriesOf([server(created())]))).toMatchObject({
      agent: AGENT,
      environmentId: 'env_1',
      title: 'a title',
      metadata: { key: 'value' },
      createdAt: at(1000),
      updatedAt: at(1000),
      terminatedAt: null,
      length: 1,
      loop: { agentName: 'tester', threadId: 'sthr_1', status: 'idle', policy: { modelAttempts: 3 } },
    });
  });

  test('takes over what an update names and leaves the rest', () => {
    const updated = (changes: object): Carrier =>
      client({ event: { id: `u${JSON.stringify(changes)}`, type: 'session.updated', ...changes } });
    const view = (...carriers: Carrier[]) => foldView(undefined, entriesOf([server(created()), ...carriers]));
    expect(view(updated({ title: 'new' }))).toMatchObject({
      title: 'new',
      metadata: { key: 'value' },
      agent: AGENT,
    });
    expect(view(updated({ title: null }))).toMatchObject({ title: null, updatedAt: at(2000) });
    expect(view(updated({ metadata: {} }))).toMatchObject({ title: 'a title', metadata: {} });
    expect(view(updated({ agent: { id: 'other' } }))).toMatchObject({
      title: 'a title',
      agent: { id: 'other' },
    });
  });

  test('counts what is only queued, but does not date it', () => {
    const view = foldView(undefined, entriesOf([server(created()), client(said('m', 'hi'))]));
    expect(view).toMatchObject({ updatedAt: at(1000), length: 2, loop: { queue: ['m'] } });
    const later = entriesOf([server(created()), client(said('m', 'hi')), server({ processed: 'm' })]);
    expect(foldView(view, later.slice(2))).toMatchObject({ length: 3, loop: { queue: [] } });
  });

  test('is dated by status changes, and knows the end', () => {
    const carriers = [
      server(created()),
      server({ event: { id: 'r', type: 'session.status_running' } }),
      client({ event: { id: 't', type: 'session.status_terminated' } }),
    ];
    expect(foldView(undefined, entriesOf(carriers.slice(0, 2)))).toMatchObject({
      updatedAt: at(2000),
      terminatedAt: null,
      loop: { status: 'running' },
    });
    expect(foldView(undefined, entriesOf(carriers))).toMatchObject({
      updatedAt: at(3000),
      terminatedAt: at(3000),
      loop: { status: 'terminated' },
    });
  });

  test('is the same whether it is folded at once or bit by bit', () => {
    fc.assert(
      fc.property(conversations, fc.array(fc.nat(20)), (carriers, sizes) => {
        const entries = entriesOf(carriers);
        let view = foldView(undefined, []);
        let from = 0;
        for (const size of [...sizes, entries.length]) {
          view = foldView(view, entries.slice(from, from + size));
          from += size;
        }
        expect(view).toEqual(foldView(undefined, entries));
      }),
    );
  });

  test('remembers of the loop what the loop itself remembers', () => {
    fc.assert(
      fc.property(conversations, (carriers) => {
        const loop = carriers.reduce((state, { drafts }, index) => fold(state, drafts, index + 1), EMPTY);
        expect(foldView(undefined, entriesOf(carriers)).loop).toEqual(loop);
      }),
    );
  });
});
