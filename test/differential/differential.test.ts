/**
 * Two servers that are told the same write the same: a short run of what `npm run differential` does at length. What
 * the comparison itself is worth is shown by a server that is set up otherwise: it is found out.
 */
import { describe, expect, it } from 'vitest';
import { findPostgres } from '../../scripts/postgres.ts';
import type { Conversation } from './conversation.ts';
import { makeConversation } from './generate.ts';
import { readSide, showFinding } from './print.ts';
import { runDifferential, type Report } from './run.ts';

const ABREAST = 8;
const WITHIN_MS = 600_000;
const hasPostgres = (await findPostgres()) !== undefined;

async function run(left: string, right: string, what: { seed: number; indexes: number[] }): Promise<Report> {
  const sides = { left: readSide(left), right: readSide(right) };
  const options = { ...what, ...sides, abreast: ABREAST, checkInvariants: true };
  const report = await runDifferential({
    ...options,
    onFinding: (finding) => process.stderr.write(`${showFinding(finding, options)}\n`),
  });
  process.stderr.write(`measured: ${left} and ${right}: ${report.events} events compared\n`);
  return report;
}

const first = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('the same conversations', () => {
  it(
    'give the same logs on both engines, whatever is killed',
    async () => {
      const { findings, seen, kills } = await run('temporal', 'log', { seed: 5, indexes: first(40) });
      expect(findings).toEqual([]);
      expect(kills.hits).toBeGreaterThan(5);
      const types = [
        'agent.thinking agent.message agent.tool_use agent.tool_result agent.custom_tool_use',
        'agent.thread_context_compacted session.error session.status_rescheduled session.updated system.message',
        'user.interrupt user.tool_confirmation user.custom_tool_result x.compaction_requested',
        'x.hand_provisioned x.hand_lost',
      ];
      expect(Object.keys(seen)).toEqual(expect.arrayContaining(types.join(' ').split(' ')));
      const reasons = ['end_turn', 'requires_action', 'retries_exhausted', 'refusal', 'budget_reached'];
      expect(Object.keys(seen)).toEqual(
        expect.arrayContaining(reasons.map((reason) => `session.status_idle (${reason})`)),
      );
    },
    WITHIN_MS,
  );

  it.skipIf(!hasPostgres)(
    'give the same logs on both databases',
    async () => {
      const { findings } = await run('log', 'log postgres', { seed: 6, indexes: first(20) });
      expect(findings).toEqual([]);
    },
    WITHIN_MS,
  );

  it(
    'give other logs where steering is set otherwise',
    async () => {
      const indexes = first(200).filter((index) => isSteered(makeConversation(1, index)));
      const what = { seed: 1, indexes: indexes.slice(0, 6) };
      const { findings } = await run('log', 'log DROVER_STEERING=round', what);
      expect(findings.length).toBeGreaterThan(0);
      for (const { difference } of findings) expect(difference).toMatchObject({ part: 'log' });
    },
    WITHIN_MS,
  );
});

/** Whether a message comes while a command runs, after which the model is asked again. */
function isSteered({ scenes }: Conversation): boolean {
  return scenes.some(({ name, steps }) => {
    const started = steps.findIndex((step) => step.do === 'await' && step.for === 'file');
    const middle = name === 'steering' && started >= 0 ? steps.slice(started) : [];
    return middle.some((step) => step.do === 'send' && step.events.some(({ type }) => type === 'message'));
  });
}
