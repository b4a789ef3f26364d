/** Random lives of a session: whatever happens in whatever order, the log stays legal and the session comes to rest. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { foldView } from '../../src/view.ts';
import { checkLog } from '../support/invariants.ts';
import { bringToRest, move, play, settings } from '../support/lives.ts';
import { simulate } from '../support/simulation.ts';

test('no order of events breaks a log', async () => {
  await fc.assert(
    fc.asyncProperty(settings, fc.array(move, { maxLength: 60 }), async (options, moves) => {
      const simulation = simulate(options);
      for (const step of moves) await play(simulation, step);
      checkLog(simulation.log.entries, false);
      await bringToRest(simulation);
      checkLog(simulation.log.entries, true);
      expect(simulation.state().status).toBe('idle');
      expect(simulation.state().queue).toEqual([]);
    }),
    { numRuns: 500 },
  );
});

test('what the log says of a session is what the loop remembers', async () => {
  await fc.assert(
    fc.asyncProperty(settings, fc.array(move, { maxLength: 40 }), async (options, moves) => {
      const simulation = simulate(options);
      for (const step of moves) await play(simulation, step);
      await bringToRest(simulation);
      const { loop } = foldView(undefined, simulation.log.entries);
      const known = simulation.state();
      for (const field of [
        'status',
        'queue',
        'interrupts',
        'calls',
        'waitingOn',
        'hand',
        'failures',
        'budget',
        'contextTokens',
        'mustCompact',
        'compactRequests',
        'trim',
      ] as const) {
        expect(loop[field], field).toEqual(known[field]);
      }
    }),
    { numRuns: 200 },
  );
});
