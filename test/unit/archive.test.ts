import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Entry } from '../../src/log.ts';
import { endUs, settle, tallyOf, type WrittenCarrier } from '../../src/session/archive.ts';
import { histories } from '../support/conversation.ts';
import { collectLog } from '../support/projection.ts';

function project(carriers: readonly WrittenCarrier[]): readonly Entry[] {
  const log = collectLog();
  for (const { drafts, timeUs, author } of carriers) log.append(drafts, timeUs, author);
  return log.entries;
}

const TERMINATED = { event: { id: 'over', type: 'session.status_terminated' as const } };

/** Also ones that end, and go on being written to. */
const all = fc.tuple(histories, fc.option(fc.nat(20))).map(([carriers, end]) => {
  const at = end === null ? carriers.length : Math.min(end, carriers.length);
  const over = { drafts: [TERMINATED], author: 'client' as const, timeUs: carriers[at]?.timeUs ?? 0 };
  return end === null ? carriers : [...carriers.slice(0, at), over, ...carriers.slice(at)];
});

describe('settled carriers', () => {
  test('project to the very same entries, queued forms and times included', () => {
    fc.assert(
      fc.property(all, (carriers) => {
        expect(project(settle(carriers))).toEqual(project(carriers));
      }),
    );
  });

  test('name the position and the time of their first entry, and hold nothing that is dropped', () => {
    fc.assert(
      fc.property(all, (carriers) => {
        let length = 0;
        let lastUs = 0;
        for (const { position, timeUs, drafts } of settle(carriers)) {
          expect(position).toBe(length);
          expect(timeUs).toBeGreaterThan(lastUs);
          length += drafts.length;
          lastUs = timeUs + drafts.length - 1;
        }
        expect(length).toBe(project(carriers).length);
      }),
    );
  });

  test('stay as they are, also when others follow', () => {
    fc.assert(
      fc.property(all, fc.nat(30), (carriers, cut) => {
        const whole = settle(carriers);
        expect(settle(whole)).toEqual(whole);
        const first = settle(carriers.slice(0, cut));
        expect(settle([...first, ...carriers.slice(cut)])).toEqual(whole);
      }),
    );
  });

  test('that follow others need not have those at hand', () => {
    fc.assert(
      fc.property(histories, fc.nat(30), (carriers, cut) => {
        const first = settle(carriers.slice(0, cut));
        const after = { tally: tallyOf(carriers.slice(0, cut)), lastUs: endUs(first) };
        expect([...first, ...settle(carriers.slice(cut), after)]).toEqual(settle(carriers));
      }),
    );
  });
});
