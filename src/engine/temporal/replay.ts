/** Replays histories of sessions against today's workflow code: does it still come to what is written there? */
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import type { Client } from '@temporalio/client';
import { SessionGoneError } from '../../session.ts';

/** A history as `temporal workflow show --output json` gives it. */
export interface RecordedRun {
  /** What it is called in what is said of it. */
  readonly name: string;
  readonly history: unknown;
}

/** What came of a replay. `divergence`: where code and history part; undefined: they do not. */
export interface Replayed {
  readonly name: string;
  readonly divergence: string | undefined;
}

/** Replays runs, each by itself. No server is needed. `codePath`: the workflow bundle. */
export async function* replayRuns(
  codePath: string,
  runs: AsyncIterable<RecordedRun>,
): AsyncGenerator<Replayed> {
  Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined) });
  const histories = async function* () {
    for await (const { name, history } of runs) yield { workflowId: name, history };
  };
  for await (const { workflowId: name, error } of Worker.runReplayHistories(
    { workflowBundle: { codePath } },
    histories(),
  ))
    yield { name, divergence: error?.message };
}

/** Fetches the histories of a session that are still there, in all its lives, oldest first. */
export async function* fetchRuns({ workflow }: Client, sessionId: string): AsyncGenerator<RecordedRun> {
  const query = `WorkflowId = '${sessionId}' OR WorkflowId STARTS_WITH '${sessionId}@'`;
  const runs: { readonly workflowId: string; readonly runId: string; readonly startTime: Date }[] = [];
  for await (const run of workflow.list({ query })) runs.push(run);
  if (runs.length === 0) throw new SessionGoneError(`Temporal has no history of session ${sessionId}`);
  runs.sort((left, right) => left.startTime.getTime() - right.startTime.getTime());
  for (const { workflowId, runId } of runs) {
    const history = await workflow.getHandle(workflowId, runId).fetchHistory();
    yield { name: `${workflowId} ${runId}`, history: JSON.parse(historyToJSON(history)) as unknown };
  }
}
