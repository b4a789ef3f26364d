/** Copies of sessions (docs/extensions.md): forks here, and files that other servers take in. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { newId } from '../../id.ts';
import { MissingReferenceError, NameTakenError, type Records, type SessionRow } from '../../records.ts';
import {
  copyEntries,
  forkOf,
  markOf,
  toCarriers,
  type CopiedEntry,
  type ForkedSnapshot,
} from '../../session/copy.ts';
import type { CopiedSnapshot } from '../../session/snapshot-store.ts';
import { workspaceAt, type WorkspaceAt } from '../../session/workspace.ts';
import type { Agent } from '../../wire/agent.ts';
import type { Environment } from '../../wire/environment.ts';
import { conflict, invalidRequest, notFound } from '../../wire/error.ts';
import type { App } from '../app.ts';
import { readBody, readLines } from '../body.ts';
import { createAccess, orApiError, readView, type SessionDeps } from '../session-access.ts';

/** What the routes are made of. */
export interface CopyDeps extends Pick<SessionDeps, 'records' | 'sessions' | 'now'> {
  /** Gives a session's snapshot to another one; undefined where it is not kept. */
  readonly copySnapshot: (
    snapshot: string,
    ends: { readonly fromId: string; readonly toId: string },
  ) => Promise<CopiedSnapshot | undefined>;
}

const EXPORT_VERSION = 1;
const NDJSON = 'application/x-ndjson';
const forkBody = z.strictObject({ position: z.int().min(1).optional(), resume: z.boolean().optional() });

/** The first line of a file. */
interface Header {
  readonly type: 'drover_export';
  readonly version: number;
  readonly session: { readonly id: string; readonly created_at: string; readonly archived_at: string | null };
  readonly agent: Agent;
  readonly environment: Environment;
}

/** Each line between the first and the last. */
interface Line {
  readonly type: 'entry';
  readonly position: number;
  readonly author: CopiedEntry['author'];
  readonly time_us: number;
  readonly draft: CopiedEntry['draft'];
}

const header = z.looseObject({
  type: z.literal('drover_export'),
  version: z.literal(EXPORT_VERSION),
  session: z.looseObject({
    id: z.string().regex(/^sesn_\w{1,64}$/),
    created_at: z.string(),
    archived_at: z.string().nullable(),
  }),
  agent: z.looseObject({ id: z.string(), version: z.int() }),
  environment: z.looseObject({ id: z.string(), name: z.string() }),
});
const line = z.looseObject({
  type: z.literal('entry'),
  position: z.int(),
  author: z.enum(['client', 'server']),
  time_us: z.int(),
  draft: z.union([
    z.looseObject({ event: z.looseObject({ id: z.string(), type: z.string() }) }),
    z.looseObject({ processed: z.string() }),
  ]),
});
const end = z.looseObject({ type: z.literal('end'), length: z.int(), sha256: z.string() });

/** Adds the routes. */
export function mountCopies(app: App, base: CopyDeps): void {
  const deps = { ...base, ...createAccess(base.records) };
  mountFork(app, deps);
  mountExport(app, deps);
  mountImport(app, deps);
}

type RouteDeps = CopyDeps & ReturnType<typeof createAccess>;

function mountFork(app: App, { records, sessions, now, find, copySnapshot }: RouteDeps): void {
  app.post('/v1/x/sessions/:id/fork', async (c) => {
    const source = await find(c);
    const { position, resume = false } = await readBody(c, forkBody);
    const { length } = await readView(sessions, source.id);
    if (position !== undefined && position > length)
      throw invalidRequest(`position: is beyond the end of the log, which has ${length} entries`);
    const entries = await orApiError(source.id, sessions.getEvents(source.id, { to: position ?? length }));
    if (entries.at(-1)?.event.type === 'session.status_terminated')
      throw invalidRequest('position: the session is terminated there; choose one before');
    const row: SessionRow = {
      ...source,
      id: newId('sesn'),
      createdAt: now(),
      archivedAt: null,
      state: 'creating',
    };
    // The snapshot of a call stands behind its result, which may be the last event that is wanted.
    const behind = await orApiError(
      source.id,
      sessions.getEvents(source.id, { from: entries.length, types: ['x.hand_snapshot'] }),
    );
    const ends = { fromId: source.id, toId: row.id };
    await records.sessions.insert(row);
    const { told, workspace } = await bringAlong(workspaceAt(entries, behind), (id) =>
      copySnapshot(id, ends),
    );
    const request = { from: source.id, resume, newId: () => newId('sevt'), nowUs: Date.now() * 1000 };
    const log = forkOf(entries, { ...request, ...(workspace && { workspace }) });
    await orApiError(row.id, sessions.createFrom(row.id, log, true));
    await records.sessions.setState(row, 'ready', 'creating');
    return c.json({
      id: row.id,
      type: 'session_fork' as const,
      forked_from: source.id,
      position: entries.length,
      workspace: told,
    });
  });
}

/** Has a fork keep the snapshot that its workspace is to begin with; answers it, and what the client is told. */
async function bringAlong(
  found: WorkspaceAt,
  copy: (id: string) => Promise<CopiedSnapshot | undefined>,
): Promise<{ readonly told: object; readonly workspace?: ForkedSnapshot }> {
  if (found.state !== 'snapshot') return { told: found };
  const { snapshot: id } = found;
  const copied = await copy(id);
  if (copied === undefined) {
    const reason = 'the snapshot is not kept with this session, which is a copy itself';
    return { told: { state: 'none', reason } satisfies WorkspaceAt };
  }
  const { bytes, addedBytes } = copied;
  return { told: { ...found, bytes, added_bytes: addedBytes }, workspace: { id, bytes, addedBytes } };
}

function mountExport(app: App, { records, sessions, find }: RouteDeps): void {
  app.get('/v1/x/sessions/:id/export', async (c) => {
    const row = await find(c);
    const { workspaceId } = row;
    const agent = await records.agents.get({ workspaceId, id: row.agentId }, row.agentVersion);
    const environment = await records.environments.get({ workspaceId, id: row.environmentId });
    const entries = await orApiError(row.id, sessions.getEvents(row.id));
    const session = { id: row.id, created_at: row.createdAt, archived_at: row.archivedAt };
    const lines = [
      JSON.stringify({ type: 'drover_export', version: EXPORT_VERSION, session, agent, environment }),
      ...copyEntries(entries).map(({ author, timeUs, draft }, position) =>
        JSON.stringify({ type: 'entry', position, author, time_us: timeUs, draft } satisfies Line),
      ),
    ];
    const last = { type: 'end', length: entries.length, sha256: digestOf(lines) };
    c.header('content-type', NDJSON);
    c.header('content-disposition', `attachment; filename="${row.id}.jsonl"`);
    return c.body(`${[...lines, JSON.stringify(last)].join('\n')}\n`);
  });
}

function mountImport(app: App, { records, sessions }: RouteDeps): void {
  app.post('/v1/x/sessions/import', async (c) => {
    const workspaceId = c.get('workspaceId');
    const { head, carriers, length } = readFile(await readLines(c, NDJSON));
    const { session, agent, environment } = head;
    if (await records.sessions.get({ workspaceId, id: session.id }))
      throw conflict(`Session ${session.id} is here already.`);
    await takeIn(records, workspaceId, { agent, environment });
    const row: SessionRow = {
      workspaceId,
      id: session.id,
      agentId: agent.id,
      agentVersion: agent.version,
      environmentId: environment.id,
      deploymentId: null,
      createdAt: session.created_at,
      archivedAt: session.archived_at,
      state: 'creating',
    };
    await records.sessions.insert(row).catch((error: unknown) => {
      throw error instanceof MissingReferenceError ? notFound(error.message) : error;
    });
    const nowUs = Date.now() * 1000;
    const mark = markOf({ newId: () => newId('sevt'), from: session.id, position: length, nowUs });
    await orApiError(row.id, sessions.createFrom(row.id, [...carriers, mark], false));
    await records.sessions.setState(row, 'ready', 'creating');
    return c.json({ id: row.id, type: 'session_imported' as const, length });
  });
}

/** What a file holds. Throws 400 where it is not whole, or not what was written. */
function readFile(lines: readonly string[]) {
  const values = lines.map((text, index) => {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      throw invalidRequest(`line ${index + 1}: is no JSON`);
    }
  });
  const head = header.safeParse(values[0]);
  if (!head.success)
    throw invalidRequest(`line 1: is not the beginning of an export of version ${EXPORT_VERSION}`);
  const last = end.safeParse(values.at(-1));
  if (!last.success)
    throw invalidRequest(`line ${lines.length}: is not the end of an export; the file is cut off`);
  if (last.data.sha256 !== digestOf(lines.slice(0, -1)))
    throw invalidRequest('sha256: is not that of the lines; the file was changed');
  const copied = values.slice(1, -1).map((value, index) => {
    const read = line.safeParse(value);
    if (!read.success || read.data.position !== index) throw invalidRequest(`line ${index + 2}: is no entry`);
    const { author, time_us: timeUs, draft } = read.data as unknown as Line;
    return { author, timeUs, draft };
  });
  return {
    head: head.data as unknown as Header,
    carriers: toCarriers(copied),
    length: last.data.length,
  };
}

/** Makes the agent's version and the environment that a session names, where they are not here. */
async function takeIn(
  records: Records,
  workspaceId: string,
  { agent, environment }: Pick<Header, 'agent' | 'environment'>,
): Promise<void> {
  if (!(await records.agents.get({ workspaceId, id: agent.id }, agent.version))) {
    if (await records.agents.get({ workspaceId, id: agent.id }))
      throw conflict(`Agent ${agent.id} is here already, without the version ${agent.version}.`);
    await records.agents.insert(workspaceId, agent);
  }
  if (await records.environments.get({ workspaceId, id: environment.id })) return;
  await records.environments.insert(workspaceId, environment).catch(async (error: unknown) => {
    if (!(error instanceof NameTakenError)) throw error;
    await records.environments.insert(workspaceId, {
      ...environment,
      name: `${environment.name} (${environment.id})`,
    });
  });
}

function digestOf(lines: readonly string[]): string {
  const hash = createHash('sha256');
  for (const text of lines) hash.update(`${text}\n`);
  return hash.digest('hex');
}
