/** What Drover needs of a Temporal server before its first session: a namespace that forgets nothing, and search attributes. */
import { isGrpcServiceError, type Connection } from '@temporalio/client';
import proto from '@temporalio/proto';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectTemporal } from './connection.ts';

/** Which server, and which of its namespaces. */
export interface TemporalTarget {
  readonly address: string;
  readonly namespace: string;
}

/**
 * How long closed runs are kept: a session is a chain of runs and its log is their history, so none may go.
 * A server's own default is one to three days.
 */
export const RETENTION_DAYS = 36_500;

/** The search attributes of a session, all Keyword. Ids and states only: search attributes are never encrypted. */
export const SEARCH_ATTRIBUTES = [
  'SessionStatus',
  'AgentId',
  'AgentName',
  'EnvironmentId',
  'WorkspaceId',
  'Model',
] as const;

const RETENTION_SECONDS = RETENTION_DAYS * 24 * 60 * 60;
const USABLE_WITHIN_MS = 30_000;
const POLL_MS = 100;
const GRPC = { notFound: 5, alreadyExists: 6 };
const KEYWORD = proto.temporal.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD;

/**
 * Makes the namespace and the search attributes where they are missing, raises a retention that is too short, and
 * returns when all of it can be used. Doing it again, or twice at once, is harmless.
 *
 * @throws when the server refuses: sessions on such a server would lose their logs.
 */
export async function setUpTemporal({ address, namespace }: TemporalTarget): Promise<void> {
  const connection = await connectTemporal(address);
  try {
    await ensureNamespace(connection, namespace);
    await eventually(`search attributes in namespace ${namespace}`, () =>
      ensureSearchAttributes(connection, namespace),
    );
    await eventually(`namespace ${namespace}`, () => tryThem(connection, namespace));
  } finally {
    await connection.close();
  }
}

async function ensureNamespace(connection: Connection, namespace: string): Promise<void> {
  const retention = await readRetention(connection, namespace);
  if (retention === undefined) {
    await unless(GRPC.alreadyExists, () =>
      connection.workflowService.registerNamespace({
        namespace,
        description: 'Drover: each session is a workflow, and its history is the session log',
        workflowExecutionRetentionPeriod: forever(),
      }),
    );
  } else if (retention < RETENTION_SECONDS) {
    await raiseRetention(connection, namespace, retention);
  }
}

/** In seconds; undefined where there is no such namespace. */
async function readRetention(connection: Connection, namespace: string): Promise<number | undefined> {
  const found = await unless(GRPC.notFound, () =>
    connection.workflowService.describeNamespace({ namespace }),
  );
  return found === undefined ? undefined : Number(found.config?.workflowExecutionRetentionTtl?.seconds ?? 0);
}

async function raiseRetention(connection: Connection, namespace: string, seconds: number): Promise<void> {
  const problem =
    `Temporal namespace "${namespace}" drops closed runs after ${Math.round(seconds / 86_400)} days, ` +
    `and with them the logs of sessions; ${RETENTION_DAYS} days are needed`;
  try {
    await connection.workflowService.updateNamespace({
      namespace,
      config: { workflowExecutionRetentionTtl: forever() },
    });
  } catch (error) {
    throw new Error(
      `${problem}, and the server refuses to raise it. Use another namespace (TEMPORAL_NAMESPACE).`,
      {
        cause: error,
      },
    );
  }
  const now = (await readRetention(connection, namespace)) ?? 0;
  if (now < RETENTION_SECONDS) throw new Error(`${problem}, and raising it had no effect.`);
}

/** @returns whether all of them are registered */
async function ensureSearchAttributes(connection: Connection, namespace: string): Promise<boolean> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  for (const name of SEARCH_ATTRIBUTES) {
    const type = customAttributes[name];
    if (type !== undefined && type !== KEYWORD) {
      throw new Unusable(
        `Temporal namespace "${namespace}" has a search attribute ${name} that is no Keyword. Use another namespace (TEMPORAL_NAMESPACE).`,
      );
    }
  }
  const missing = SEARCH_ATTRIBUTES.filter((name) => customAttributes[name] === undefined);
  if (missing.length === 0) return true;
  await unless(GRPC.alreadyExists, () =>
    connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])),
    }),
  );
  return false;
}

/** A server's caches lag behind what it was told, by seconds: only a query that names them all shows that they work. */
async function tryThem(connection: Connection, namespace: string): Promise<boolean> {
  const query = SEARCH_ATTRIBUTES.map((name) => `${name} = "none"`).join(' OR ');
  await connection.workflowService.countWorkflowExecutions({ namespace, query });
  return true;
}

function forever(): proto.google.protobuf.IDuration {
  return proto.google.protobuf.Duration.fromObject({ seconds: RETENTION_SECONDS });
}

/** Waiting will not mend it. */
class Unusable extends Error {
  override readonly name = 'Unusable';
}

async function eventually(what: string, attempt: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + USABLE_WITHIN_MS;
  let last: unknown;
  while (Date.now() < deadline) {
    try {
      if (await attempt()) return;
    } catch (error) {
      if (error instanceof Unusable) throw error;
      last = error;
    }
    await sleep(POLL_MS);
  }
  throw new Error(`Temporal: ${what} cannot be used after ${USABLE_WITHIN_MS / 1000} s`, { cause: last });
}

async function unless<T>(code: number, call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    const actual: number | undefined = isGrpcServiceError(error) ? error.code : undefined;
    if (actual === code) return undefined;
    throw error;
  }
}
