/** Copies of sessions (docs/extensions.md): forks here, and files that other servers take in. */
import { z } from 'zod';
import { newId } from '../../id.ts';
import { MissingReferenceError, NameTakenError, type Records, type SessionRow } from '../../records.ts';
import { forkOf, markOf, type ForkedSnapshot } from '../../session/copy.ts';
import type { CopiedSnapshot } from '../../session/snapshot-store.ts';
import { workspaceAt, type WorkspaceAt } from '../../session/workspace.ts';
import { conflict, invalidRequest, notFound } from '../../wire/error.ts';
import type { App } from '../app.ts';
import { readBody, readLines } from '../body.ts';
import { readFile, streamOf, writeFile, type Header } from '../session-file.ts';
import { createAccess, orApiError, readView, type SessionDeps } from '../session-access.ts';

/** What the routes are made of. */
export interface CopyDeps extends Pick<SessionDeps, 'records' | 'sessions' | 'now'> {
  /** Gives a session's snapshot to another one; undefined where it is not kept. */
  readonly copySnapshot: (
    snapshot: string,
    ends: { readonly fromId: string; readonly toId: string },
  ) => Promise<CopiedSnapshot | undefined>;
}

const NDJSON = 'application/x-ndjson';
const forkBody = z.strictObject({ position: z.int().min(1).optional(), resume: z.boolean().optional() });

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
    // Rows that a session refers to stay for as long as it does: it is being deleted.
    if (!agent || !environment) throw notFound(`Session \`${row.id}\` not found.`);
    const { length } = await readView(sessions, row.id);
    const session = { id: row.id, created_at: row.createdAt, archived_at: row.archivedAt };
    const read = (from: number, to: number) => sessions.getEvents(row.id, { from, to });
    const file = writeFile({ session, agent, environment }, length, read);
    // What is wrong from the start can still be answered as an error; what comes later breaks the answer off.
    const first = await orApiError(row.id, file.next());
    c.header('content-type', NDJSON);
    c.header('content-disposition', `attachment; filename="${row.id}.jsonl"`);
    // Else the answer would wait for the second piece, to see whether that is the last one.
    c.header('transfer-encoding', 'chunked');
    return c.body(streamOf(first, file));
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
