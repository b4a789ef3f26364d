/** How a session's workflow is started, and what Temporal shows of it. */
import {
  defineSearchAttributeKey,
  SearchAttributeType,
  TypedSearchAttributes,
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
} from '@temporalio/common';
import type { SessionSeed } from '../../session.ts';
import { SEARCH_ATTRIBUTES, type SessionInput } from '../../../workflows/messages.ts';

/**
 * A worker that dies with a workflow task in hand is waited for so long, not for Temporal's 10 s. The task itself takes
 * milliseconds, or as long as it takes to replay a run, which is short.
 */
const WORKFLOW_TASK_TIMEOUT_MS = 4000;

/** What a start consists of. */
export interface Start {
  readonly seed: SessionSeed['created'];
  readonly taskQueue: string;
  readonly input: SessionInput;
}

/** The options of a start that may be repeated: what runs already goes on, what has ended stays so. */
export function startOptions(workflowId: string, { seed, taskQueue, input }: Start) {
  const keyword = (name: string, value: unknown) => ({
    key: defineSearchAttributeKey(name, SearchAttributeType.KEYWORD),
    value: String(value),
  });
  return {
    workflowId,
    taskQueue,
    args: [input],
    workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT_MS,
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
    workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
    staticSummary: `${seed.title ?? 'untitled'}: ${seed.agent_name}`.slice(0, 200),
    memo: { title: seed.title ?? '', agent: seed.agent_name },
    typedSearchAttributes: new TypedSearchAttributes([
      keyword(SEARCH_ATTRIBUTES.status, 'idle'),
      keyword(SEARCH_ATTRIBUTES.agentId, seed.agent['id']),
      keyword(SEARCH_ATTRIBUTES.agentName, seed.agent_name),
      keyword(SEARCH_ATTRIBUTES.environmentId, seed.environment_id),
      keyword(SEARCH_ATTRIBUTES.workspaceId, seed.workspace_id),
      keyword(SEARCH_ATTRIBUTES.model, (seed.agent['model'] as { id?: unknown } | undefined)?.id),
    ]),
  };
}
