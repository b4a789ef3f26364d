/** How long the work stands still after a process is killed. */
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { script } from '../../../src/model/directives.ts';
import { handFolders } from '../../sandboxes.ts';
import { follow, say, type Event, type Following } from '../follow.ts';
import type { Context, Metric } from '../metric.ts';
import { seededRandom } from '../statistics.ts';
import type { Part, ProgramSubject, ServerSubject } from '../subject.ts';
import type { Values } from '../values.ts';

/** The model's answers take so long; what a kill breaks off begins again and takes it again. */
const MODEL_MS = 3000;
/** Work has been under way for this and up to a second more when the kill comes: heartbeats are a second apart. */
const SETTLED_MS = 200;
const SPREAD_MS = 1000;
const STAGGER_MS = 250;
const PATIENCE_MS = 60_000;
const POLL_MS = 20;
/** The supervisor starts a process again at once that has lived for ten seconds; some pass until it is ready. */
const CALM_MS = 13_000;

/** `recovery`. */
export const recovery: Metric = {
  name: 'recovery',
  title: 'After a kill',
  figures: () => [
    {
      key: 'workerInModel',
      label: 'worker killed in a model call: to the next event, less the model’s time',
      unit: 's',
      better: 'lower',
      headline: 'work goes on after a worker’s death',
    },
    {
      key: 'workerInTool',
      label: 'worker killed in a tool that then ends: to its result',
      unit: 's',
      better: 'lower',
    },
    { key: 'api', label: 'API killed: until it answers', unit: 's', better: 'lower' },
    { key: 'temporal', label: 'Temporal killed: to the result of a tool', unit: 's', better: 'lower' },
    { key: 'postgres', label: 'Postgres killed: to the result of a tool', unit: 's', better: 'lower' },
    {
      key: 'program',
      label: 'the program killed: until another one takes turns',
      unit: 's',
      better: 'lower',
    },
    { key: 'fate', label: 'what is left of the sessions', unit: '' },
  ],
  method: ({ recovery: { kills, sessions } }) =>
    `SIGKILL, ${kills === 1 ? 'once' : `${kills} times`} each, with ${sessions} sessions at work whose starts are ${STAGGER_MS} ms apart, so that each is hit at another moment between two heartbeats. ` +
    `In a model call: the model answers after ${MODEL_MS / 1000} s, and is asked again. In a tool: a command that ends at the moment of the kill, so that its result is there to be had. ` +
    `Own processes are started again by Drover’s supervisor, Temporal and Postgres servers beside it by us, at once.`,
  async run(subject, context) {
    return subject.kind === 'program' ? await loseProgram(subject, context) : await hurt(subject, context);
  },
};

async function loseProgram({ program, create, attach }: ProgramSubject, { sizes }: Context): Promise<Values> {
  const samples: number[] = [];
  let asked = 'goes on';
  for (let kill = 0; kill < sizes.recovery.kills; kill += 1) {
    const session = await create();
    await program.turn(session, 'hello');
    const start = performance.now();
    await program.kill();
    await program.restart();
    const other = await attach(await create());
    await other.turn('hello');
    samples.push((performance.now() - start) / 1000);
    asked = await program.turn(session, 'Where were we?').then(
      () => 'goes on',
      () => 'none: the next program does not know them',
    );
  }
  return { program: samples, fate: asked };
}

async function hurt(subject: ServerSubject, context: Context): Promise<Values> {
  const parts = await subject.parts();
  const find = (name: string): Part | undefined => parts.find((part) => part.name === name);
  const crew = await createCrew(subject, context);
  const values: Record<string, number[]> = {};
  const killed = new Map<string, number>();
  const calm = async ({ name }: Part): Promise<void> => {
    const last = killed.get(name) ?? -CALM_MS;
    await pause(Math.max(0, last + CALM_MS - performance.now()));
    killed.set(name, performance.now());
  };
  const note = (key: string, samples: readonly number[]): void => {
    values[key] = [...(values[key] ?? []), ...samples];
  };
  try {
    for (let kill = 0; kill < context.sizes.recovery.kills; kill += 1) {
      const worker = find('worker');
      if (!worker) throw new Error('there is no worker');
      await calm(worker);
      const { model, tool } = await crew.strike(worker, 'both');
      note('workerInModel', model);
      note('workerInTool', tool);
      for (const name of ['temporal', 'postgres']) {
        const part = find(name);
        if (!part) continue;
        await calm(part);
        note(name, (await crew.strike(part, 'tool')).tool);
      }
      const api = find('api');
      if (!api) throw new Error('there is no API');
      await calm(api);
      note('api', [await timeApi(subject, api)]);
      context.log(`${kill + 1} of ${context.sizes.recovery.kills}`);
    }
    return { ...values, fate: 'all went on' };
  } finally {
    await crew.dismiss();
  }
}

interface Times {
  readonly model: number[];
  readonly tool: number[];
}

interface Crew {
  /** Has sessions work, kills a process, and answers the seconds to each session's next event. */
  strike(part: Part, at: 'both' | 'tool'): Promise<Times>;
  dismiss(): Promise<void>;
}

interface Member {
  readonly id: string;
  readonly following: Following;
}

/** Sessions that are used again and again; those that run tools have their sandboxes. */
async function createCrew(subject: ServerSubject, { sizes, seed }: Context): Promise<Crew> {
  const random = seededRandom(seed);
  const { client, dataDir } = subject;
  let count = 0;
  const makeMember = async (): Promise<Member> => {
    const id = await subject.create();
    const following = follow(client, id);
    await say(client, id, script({ call: 'bash', input: { command: 'true' } }, { say: 'ready' }));
    await expectEvent(following, 'the end of the first turn', isIdle, 0);
    return { id, following };
  };
  const makeMembers = (): Promise<Member[]> =>
    Promise.all(Array.from({ length: sizes.recovery.sessions }, makeMember));
  const [thinkers, doers] = [await makeMembers(), await makeMembers()];

  const workspaceOf = async (id: string): Promise<string> => {
    const [folder] = await handFolders(dataDir, id);
    if (folder === undefined) throw new Error(`session ${id} has no sandbox`);
    return join(folder, 'workspace');
  };
  const think = async ({ id, following }: Member, from: number): Promise<void> => {
    await say(client, id, script({ delayMs: MODEL_MS }, { say: 'thought' }));
    await expectEvent(
      following,
      'the model request',
      (event) => event.type === 'span.model_request_start',
      from,
    );
  };
  const act = async ({ id }: Member, mark: string): Promise<void> => {
    const command = `touch started-${mark}; while [ ! -e go-${mark} ]; do sleep 0.02; done`;
    await say(client, id, script({ call: 'bash', input: { command } }, { say: 'done' }));
    await untilThere(join(await workspaceOf(id), `started-${mark}`));
  };

  const strike = async (part: Part, at: 'both' | 'tool'): Promise<Times> => {
    count += 1;
    const mark = String(count);
    const minds = at === 'both' ? thinkers : [];
    const froms = new Map([...minds, ...doers].map((member) => [member, member.following.seen.length]));
    const from = (member: Member): number => froms.get(member) ?? 0;
    await Promise.all(
      doers.map(async (member, index) => {
        await pause(index * STAGGER_MS);
        await act(member, mark);
      }),
    );
    await Promise.all(
      minds.map(async (member, index) => {
        await pause(index * STAGGER_MS);
        await think(member, from(member));
      }),
    );
    await pause(at === 'both' ? random() * STAGGER_MS : SETTLED_MS + random() * SPREAD_MS);
    const killedMs = performance.now();
    await part.kill();
    await Promise.all(
      doers.map(async ({ id }) => await writeFile(join(await workspaceOf(id), `go-${mark}`), '')),
    );
    const since = async (member: Member, what: string, isIt: (event: Event) => boolean): Promise<number> => {
      const { atMs } = await expectEvent(member.following, what, isIt, from(member));
      return (atMs - killedMs) / 1000;
    };
    const [model, tool] = await Promise.all([
      Promise.all(minds.map((member) => since(member, 'the answer', isAnswer))),
      Promise.all(doers.map((member) => since(member, 'the result', isResult))),
    ]);
    await Promise.all(
      [...minds, ...doers].map((member) =>
        expectEvent(member.following, 'the end of the turn', isIdle, from(member)),
      ),
    );
    // On a slow machine an answer may be there before the kill.
    const late = (seconds: number): boolean => seconds > 0;
    return {
      model: model.filter(late).map((seconds) => seconds - MODEL_MS / 1000),
      tool: tool.filter(late),
    };
  };
  return {
    strike,
    async dismiss() {
      await Promise.all([...thinkers, ...doers].map(({ following }) => following.stop()));
    },
  };
}

async function expectEvent(
  following: Following,
  what: string,
  isIt: (event: Event) => boolean,
  from: number,
): Promise<{ readonly atMs: number }> {
  const found = await following.until(isIt, { from, withinMs: PATIENCE_MS });
  if (!found) throw new Error(`not within ${PATIENCE_MS / 1000} s: ${what}`);
  return found;
}

function isIdle({ type }: Event): boolean {
  return type === 'session.status_idle';
}

function isAnswer({ type }: Event): boolean {
  return type === 'agent.message';
}

function isResult({ type }: Event): boolean {
  return type === 'agent.tool_result';
}

async function untilThere(path: string): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline;) {
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (isThere) return;
    await pause(POLL_MS);
  }
  throw new Error(`not within ${PATIENCE_MS / 1000} s: a command started`);
}

/** From the kill to the first list that is answered. */
async function timeApi({ client, create }: ServerSubject, api: Part): Promise<number> {
  const session = await create();
  const killedMs = performance.now();
  await api.kill();
  while (performance.now() - killedMs < PATIENCE_MS) {
    const answered = await client.beta.sessions.events.list(session, { limit: 1 }).then(
      () => true,
      () => false,
    );
    if (answered) return (performance.now() - killedMs) / 1000;
    await pause(POLL_MS);
  }
  throw new Error(`not within ${PATIENCE_MS / 1000} s: the API`);
}
