/** What Temporal shows of a session. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { unique } from '../../support/client.ts';
import { openHistories, textIn, type Histories } from '../../support/temporal/histories.ts';
import { message, MODEL, script, useTestbed } from '../../support/turns.ts';

const bed = useTestbed();

let histories: Histories;
beforeAll(async () => {
  histories = await openHistories();
});
afterAll(() => histories.close());

describe('what Temporal shows of a session', () => {
  it('its status, its agent and its title can be searched and read', async () => {
    const name = unique('agent-shown');
    const title = unique('title');
    const agent = await bed.agent({ name });
    const live = await bed.live({ agent: agent.id, title });
    await live.send(message(script({ delayMs: 1500 }, { say: 'slow' })));
    await live.next('span.model_request_start');
    expect((await histories.describe(live.id)).searchAttributes).toMatchObject({
      SessionStatus: ['running'],
    });

    await live.next('session.status_idle');
    const described = await histories.describe(live.id);
    const { searchAttributes, memo, status } = described;
    const staticSummary = await described.staticSummary();
    expect(searchAttributes).toMatchObject({
      SessionStatus: ['idle'],
      AgentId: [agent.id],
      AgentName: [name],
      EnvironmentId: [await bed.environment()],
      WorkspaceId: [expect.stringMatching(/^wrkspc_/)],
      Model: [MODEL],
    });
    expect(memo).toMatchObject({ title, agent: name });
    expect(staticSummary).toContain(title);
    expect(staticSummary).toContain(name);
    expect(status.name).toBe('RUNNING');
  });

  it('every activity says what it does', async () => {
    const live = await bed.live();
    await live.turn(script({ call: 'bash', input: { command: 'echo visible' } }, { say: 'done' }));
    const scheduled = (await histories.events(live.id)).filter(
      ({ activityTaskScheduledEventAttributes }) => activityTaskScheduledEventAttributes,
    );
    const summaries = scheduled.map(({ userMetadata }) => textIn(userMetadata?.summary));
    expect(summaries).toHaveLength(4);
    expect(summaries.filter((summary) => summary.trim() === '')).toEqual([]);
    expect(summaries.find((summary) => summary.includes('echo visible'))).toBeDefined();
    expect(summaries.filter((summary) => summary.includes(MODEL))).toHaveLength(2);
  });
});
