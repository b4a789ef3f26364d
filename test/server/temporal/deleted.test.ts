/** Deleted sessions, as Temporal shows them: not at all. */
import { WorkflowNotFoundError } from '@temporalio/client';
import { expect, it } from 'vitest';
import { eventually } from '../../support/process.ts';
import { connectToTemporal } from '../../support/temporal/histories.ts';
import { useTestbed } from '../../support/turns.ts';

const bed = useTestbed();

it('they leave the list of workflows, too', async () => {
  const ids = await Promise.all(Array.from({ length: 12 }, async () => (await bed.create()).id));
  const { workflow, connection } = await connectToTemporal();
  try {
    const count = async () =>
      (await workflow.count(ids.map((id) => `WorkflowId = '${id}'`).join(' OR '))).count;
    await eventually('the list to show them', async () => (await count()) === ids.length);
    await Promise.all(ids.map((id) => bed.client.beta.sessions.delete(id)));
    await eventually('the list to be empty', async () => (await count()) === 0);
    for (const id of ids)
      await expect(workflow.getHandle(id).describe()).rejects.toThrow(WorkflowNotFoundError);
  } finally {
    await connection.close();
  }
});
