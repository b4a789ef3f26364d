/** A candidate that runs, as the metrics see it. */
import type Anthropic from '@anthropic-ai/sdk';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startProgram, type Program, type TurnTimes } from '../baseline/process.ts';
import { clientOf, makeAgent } from '../bench/measure.ts';
import { isAlive } from '../bench/processes.ts';
import { startServer, type Server } from '../server.ts';
import type { Candidate } from './candidates.ts';
import { createOutages, type Outage } from './outages.ts';
import { treeOf, type ProcessGroup } from './processes.ts';
import { databaseUrl, startServices, type Service } from './services.ts';
import { storedInDataDir, storedInPostgres } from './store.ts';
import type { ByName } from './values.ts';

/** A session whose events are being followed, so that a turn can be timed. */
export interface Attached {
  readonly id: string;
  turn(text: string): Promise<TurnTimes>;
  detach(): void;
}

/** What all candidates can do. */
interface Common {
  readonly candidate: Candidate;
  create(): Promise<string>;
  attach(session: string): Promise<Attached>;
  /** Its processes now, those of the client and of the model apart. */
  groups(): Promise<readonly ProcessGroup[]>;
  /** KiB that it keeps, by place. */
  stored(): Promise<ByName>;
  /** The folder that its sandboxes are in. */
  readonly dataDir: string;
  stop(): Promise<void>;
}

/** A process that can be killed, and comes back: by the supervisor, or by whoever would start such a server again. */
export interface Part {
  readonly name: string;
  isUp(): Promise<boolean>;
  /** SIGKILL. Resolves at once; it comes back by itself. */
  kill(): Promise<void>;
}

/** The plain program. */
export interface ProgramSubject extends Common {
  readonly kind: 'program';
  readonly program: Program;
}

/** A whole server, driven through the official SDK. */
export interface ServerSubject extends Common {
  readonly kind: 'server';
  readonly client: Anthropic;
  readonly outages: readonly Outage[];
  parts(): Promise<Part[]>;
}

/** Either. */
export type Subject = ProgramSubject | ServerSubject;

/** What a candidate is started with. */
export interface StartOptions {
  readonly modelUrl: string;
  readonly env: Readonly<Record<string, string>>;
  /** Gets what the server says to people. */
  readonly onLine: (line: string) => void;
}

const OF_DROVER = /^(DROVER_|TEMPORAL_|ANTHROPIC_|DATABASE_URL$|PORT$)/;
const RESTART_TRIES = 20;
const RESTART_PAUSE_MS = 500;

/** Starts a candidate. */
export async function startSubject(candidate: Candidate, options: StartOptions): Promise<Subject> {
  return candidate.env === undefined
    ? await startProgramSubject(candidate, options)
    : await startServerSubject(candidate, candidate.env, options);
}

async function startProgramSubject(
  candidate: Candidate,
  { modelUrl }: StartOptions,
): Promise<ProgramSubject> {
  const program = await startProgram(modelUrl);
  return {
    kind: 'program',
    candidate,
    program,
    dataDir: program.dataDir,
    create: () => program.create(),
    attach: async (id) => ({ id, turn: (text) => program.turn(id, text), detach: () => undefined }),
    groups: async () => [{ name: 'program', pids: [program.pid] }],
    stored: async () => ({ memory: 0 }),
    stop: () => program.stop(),
  };
}

async function startServerSubject(
  candidate: Candidate,
  settings: Readonly<Record<string, string>>,
  { modelUrl, env, onLine }: StartOptions,
): Promise<ServerSubject> {
  const held = new AsyncDisposableStack();
  try {
    const services = await startServices(candidate.services, held);
    const server = await startServer(
      {
        ...Object.fromEntries(
          Object.keys(process.env)
            .filter((name) => OF_DROVER.test(name))
            .map((name) => [name, undefined]),
        ),
        PORT: '0',
        DROVER_API_KEY: 'sk-drover-local',
        DROVER_SANDBOX: 'bubblewrap',
        ANTHROPIC_BASE_URL: modelUrl,
        ANTHROPIC_API_KEY: 'any',
        ...settings,
        ...env,
        ...Object.assign({}, ...services.map((service) => service.env)),
      },
      onLine,
    );
    held.defer(async () => await server.stop('leave'));
    const client = clientOf(server);
    const made = await makeAgent(client);
    // They remember who is down.
    const serviceParts = services.map(servicePart);
    return {
      kind: 'server',
      candidate,
      client,
      dataDir: server.dataDir,
      outages: createOutages(candidate.outages, server, services),
      create: async () => (await client.beta.sessions.create(made)).id,
      attach: (id) => attach(client, id),
      groups: () => groupsOf(server, services),
      async stored() {
        const url = databaseUrl(services);
        return { ...(await storedInDataDir(server.dataDir)), ...(url && (await storedInPostgres(url))) };
      },
      parts: async () => [...(await rolePartsOf(server)), ...serviceParts],
      stop: () => held.disposeAsync(),
    };
  } catch (error) {
    await held.disposeAsync();
    throw error;
  }
}

/** Opens a stream and keeps it for all turns. */
async function attach(client: Anthropic, id: string): Promise<Attached> {
  const stream = await client.beta.sessions.events.stream(id, { event_deltas: ['agent.message'] });
  const events = stream[Symbol.asyncIterator]();
  return {
    id,
    async turn(text) {
      const start = performance.now();
      let firstTextMs = Number.NaN;
      await client.beta.sessions.events.send(id, {
        events: [{ type: 'user.message', content: [{ type: 'text', text }] }],
      });
      for (;;) {
        const { value: event, done } = await events.next();
        if (done === true) throw new Error('the stream ended in the middle of a turn');
        const isText = event.type === 'event_delta' || event.type === 'agent.message';
        if (isText && Number.isNaN(firstTextMs)) firstTextMs = performance.now() - start;
        if (event.type === 'session.status_idle') return { firstTextMs, idleMs: performance.now() - start };
      }
    },
    detach: () => stream.controller.abort(),
  };
}

/** All roles that have a pid file, those of one kind together; and the services with all that they have started. */
async function groupsOf(server: Server, services: readonly Service[]): Promise<ProcessGroup[]> {
  const byKind = new Map<string, number[]>();
  for (const role of await rolesOf(server)) {
    const kind = role.replace(/-\d+$/, '');
    byKind.set(kind, [...(byKind.get(kind) ?? []), await server.pid(role)]);
  }
  return [
    ...[...byKind].map(([name, pids]) => ({ name, pids })),
    ...(await Promise.all(services.map(async ({ name, pid }) => ({ name, pids: await treeOf(pid()) })))),
  ];
}

async function rolePartsOf(server: Server): Promise<Part[]> {
  const roles = (await rolesOf(server)).filter((role) => role !== 'supervisor');
  return roles.map((name) => ({
    name,
    // Between two lives there is no pid file, or the old one.
    isUp: async () => await isAlive(await server.pid(name).catch(() => 0)),
    async kill() {
      process.kill(await server.pid(name), 'SIGKILL');
    },
  }));
}

/** Started again at once, like systemd or an orchestrator would. */
function servicePart({ name, kill, restart }: Service): Part {
  let isUp = true;
  return {
    name,
    isUp: async () => isUp,
    async kill() {
      isUp = false;
      await kill();
      void restartSoon(restart).then(() => {
        isUp = true;
      });
    },
  };
}

async function restartSoon(restart: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await restart();
    } catch (error) {
      if (tries === RESTART_TRIES) throw error;
      // What it needs itself may be down, too.
      await new Promise((resolve) => setTimeout(resolve, RESTART_PAUSE_MS));
    }
  }
}

async function rolesOf({ dataDir }: Server): Promise<string[]> {
  const files = await readdir(join(dataDir, 'run'));
  return files.filter((name) => name.endsWith('.pid')).map((name) => name.slice(0, -'.pid'.length));
}
