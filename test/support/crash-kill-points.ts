/** A server whose processes can be told where to die, and conversations that have to survive it. */
import type Anthropic from '@anthropic-ai/sdk';
import { join } from 'node:path';
import { arm, takeDead } from '../../scripts/chaos/arm.ts';
import { converse, type TurnKind } from '../../scripts/chaos/client.ts';
import { watchSandboxes } from '../../scripts/chaos/hands.ts';
import { judge } from '../../scripts/chaos/judge.ts';
import type { KillPointName } from '../../src/kill-point.ts';
import { checkSessionLog } from './crash-log.ts';
import { cleanUp, makeDataDir, startCrashServer, type CrashServer } from './crash-server.ts';
import { eventually, isAlive } from './process.ts';

/** The server. */
export interface MortalServer {
  readonly server: CrashServer;
  /** A client that gives up soon and tells. */
  readonly client: Anthropic;
  /** Makes a session, whatever dies meanwhile. */
  create(): Promise<string>;
  /** Has a process die at the point while `use` is under way; fails where none has. */
  dyingAt<T>(point: KillPointName, use: () => Promise<T>): Promise<T>;
  /** Holds a conversation to its end and has it judged. Answers what was found wrong with it. */
  talk(session: string, kinds: readonly TurnKind[]): Promise<readonly string[]>;
  stop(): Promise<void>;
}

const ANSWER_WITHIN_MS = 10_000;
const OVER_WITHIN_MS = 90_000;
const DEAD_WITHIN_MS = 30_000;
const LOOKUP = {
  type: 'custom',
  name: 'lookup',
  description: 'Looks up.',
  input_schema: { type: 'object' },
} as const;

/** Starts it. */
export async function startMortalServer(env: Readonly<Record<string, string>> = {}): Promise<MortalServer> {
  const dataDir = await makeDataDir();
  const file = join(dataDir, 'kill-point');
  const server = await startCrashServer(dataDir, { DROVER_KILL_POINTS: file, ...env });
  const client = server.api.withOptions({ timeout: ANSWER_WITHIN_MS, maxRetries: 0 });
  const tools = [LOOKUP, { type: 'agent_toolset_20260401' as const }];
  const agent = await client.beta.agents.create({ name: 'mortal', model: 'claude-sonnet-5', tools });
  const environment = await client.beta.environments.create({ name: 'mortal' });
  const asked = `http://127.0.0.1:${server.ports.model}/x/requests`;
  let talks = 0;

  return {
    server,
    client,
    create: () =>
      patiently('a session', async () => {
        const params = { agent: agent.id, environment_id: environment.id };
        return (await client.beta.sessions.create(params)).id;
      }),
    async dyingAt(point, use) {
      await arm(file, point);
      const using = use();
      using.catch(() => undefined);
      const pid = await eventually(`somebody to die ${point}`, () => takeDead(file), DEAD_WITHIN_MS);
      await eventually('the end of it', () => !isAlive(pid));
      return await using;
    },
    async talk(session, kinds) {
      talks += 1;
      const sandboxes = watchSandboxes(dataDir);
      await fetch(asked, { method: 'DELETE' });
      const patience = AbortSignal.timeout(OVER_WITHIN_MS);
      const { conversation, done } = converse(client, session, { number: talks, kinds, patience });
      await done;
      await conversation.following.stop();
      const { data } = (await (await fetch(asked)).json()) as { data: readonly unknown[] };
      const { details } = await judge(server.api, [conversation], {
        marks: await sandboxes.marks(),
        attacks: [{ atWork: 1 }],
        requests: data.length,
      });
      await checkSessionLog(server, session);
      return details;
    },
    stop: () => cleanUp(dataDir, server),
  };
}

/** Asks until there is an answer. */
export async function patiently<T>(what: string, ask: () => Promise<T>): Promise<T> {
  const { answer } = await eventually(
    what,
    async () =>
      await ask().then(
        (answer) => ({ answer }),
        () => undefined,
      ),
    OVER_WITHIN_MS,
  );
  return answer;
}
