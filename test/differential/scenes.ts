/** Scenes in which nothing is killed. Each is a function of the stage; what it writes is legal wherever it comes. */
import type { Scene, Sent, Step } from './conversation.ts';
import { interrupts, steering } from './middle.ts';
import {
  BEFORE,
  call,
  dealPolicies,
  filler,
  gated,
  lookup,
  message,
  REST,
  round,
  send,
  several,
  smallTalk,
  speech,
  text,
  toolsUnder,
  turn,
  type Line,
  type Stage,
} from './stage.ts';

/** Writes the steps of a scene. */
type Write = (stage: Stage) => Step[];

const SCENES: Readonly<Record<string, readonly [weight: number, write: Write]>> = {
  talk: [5, talk],
  tools: [5, tools],
  custom: [4, custom],
  confirmations: [4, confirmations],
  judge: [3, judge],
  system: [1.5, system],
  steering: [5, steering],
  interrupt: [5, interrupts],
  failures: [4, failures],
  compaction: [2.5, compaction],
  window: [1, smallWindow],
  update: [2, update],
  budget: [1, budget],
  off: [1, off],
  refusals: [1, refusals],
};

/** Writes one more scene. */
export function ordinaryScene(stage: Stage): Scene {
  const weights = Object.entries(SCENES).map(([key, [weight]]) => [weight, key] as const);
  // It has results cleared, however small the conversation is.
  const name = stage.dice.weigh(weights.filter(([, key]) => !stage.isWide || key !== 'window'));
  const [, write = talk] = SCENES[name] ?? [];
  return { name, steps: write(stage) };
}

/** One or more answers without calls, with every way in which one can end. */
function talk(stage: Stage): Step[] {
  const { dice } = stage;
  if (dice.chance(0.2)) return [send(smallTalk(stage)), REST];
  const more = dice.chance(0.2) ? [{ stop: 'pause_turn' }, ...speech(stage)] : [];
  const end = dice.weigh<readonly Line[]>([
    [6, []],
    [1, [{ stop: 'max_tokens' }]],
    [1, [{ stop: 'stop_sequence' }]],
    [0.5, [{ stop: 'model_context_window_exceeded' }]],
    [1, [{ stop: 'refusal', category: dice.pick(['cyber', 'bio']), explanation: 'No.' }]],
    [1, [{ stop: 'end_turn' }, ...speech(stage)]],
  ]);
  const extra = dice.chance(0.15) ? [smallTalk(stage)] : [];
  return [send(message(stage, [...speech(stage), ...more, ...end]), ...extra), REST];
}

/** Rounds of calls that a hand runs: one by one, in parallel, with results long and short, right and wrong. */
function tools(stage: Stage): Step[] {
  const { dice } = stage;
  const lines = Array.from({ length: dice.int(1, 3) }, () => toolRound(stage)).flat();
  return turn(stage, [...(dice.chance(0.5) ? speech(stage) : []), ...lines, { say: 'It was: {{results}}' }]);
}

function toolRound(stage: Stage): Line[] {
  const { dice, policies, isWide } = stage;
  const name = stage.name();
  const path = `/workspace/${name}.txt`;
  const bash = (command: string): Line => ({ call: 'bash', input: { command } });
  const echo = bash(`echo ${name}`);
  const keep = bash(`echo ${name} > ${name}.txt`);
  const use = (tool: string, input: Line): Line => ({ call: tool, input });
  const free = (tool: string): number => (policies.free.includes(tool) ? 2 : 0);
  const [wide, heavy] = isWide ? [2, 0] : [0, 1];
  const others = Array.from({ length: dice.int(2, 4) }, () => call(stage, dice.pick(policies.free)));
  const rounds: readonly (readonly [number, Line[]])[] = [
    [3, [echo]],
    [1, [bash(`echo ${name}; exit ${dice.int(1, 9)}`)]],
    [1, [bash(`export WORD=${name}; cd /tmp`), bash('echo "$WORD in $PWD"; cd /workspace')]],
    [heavy, [bash(`head -c ${dice.int(3000, 30_000)} /dev/zero | tr '\\0' x`)]],
    [heavy / 3, [bash(`head -c 120000 /dev/zero | tr '\\0' y`)]],
    [wide, [round([echo, ...others.slice(0, 1)])]],
    [wide, [round(others)]],
    [wide, [round([echo, bash('echo two'), ...others.slice(0, 1)])]],
    [free('write'), [use('write', { file_path: path, content: `one\n${name}\n` }), bash(`cat ${name}.txt`)]],
    [free('read'), [keep, use('read', { file_path: path })]],
    [free('grep'), [keep, use('grep', { pattern: name })]],
    [free('glob'), [keep, use('glob', { pattern: `${name}*` })]],
    [free('edit'), [keep, use('edit', { file_path: path, old_string: name, new_string: 'new' })]],
  ];
  return dice.weigh(rounds);
}

/** Calls that the client answers: all at once, one by one, late, twice, with an error, with a system message. */
function custom(stage: Stage): Step[] {
  const { dice } = stage;
  const count = dice.int(1, 3);
  const beside = dice.chance(0.3) ? [call(stage, 'bash')] : [];
  const calls = [...Array.from({ length: count }, () => lookup(stage)), ...beside];
  const opening = turn(stage, [round(dice.shuffle(calls)), { say: 'I was told: {{results}}' }]);
  const answers = dice.shuffle(Array.from({ length: count }, (_, at) => answer(stage, at)));
  const [first] = answers;
  const late = dice.chance(0.3)
    ? [send(smallTalk(stage)), send({ type: 'result', call: -1, content: [] })]
    : [];
  const again = dice.chance(0.3) && first ? [send(first), REST] : [];
  const closing = dice.weigh<readonly Step[]>([
    [3, [send(...answers), REST]],
    [2, answers.flatMap((one) => [send(one), REST])],
    [1, [send(...answers, smallTalk(stage)), REST]],
    [takesSystemMessages(stage) ? 1 : 0, [send(...answers, { type: 'system', text: stage.name() }), REST]],
  ]);
  return [...opening, ...late, ...closing, ...again];
}

function answer(stage: Stage, call: number): Sent {
  const { dice } = stage;
  const content = dice.chance(0.1) ? [] : [text(`answer ${stage.name()}`)];
  const isError = dice.chance(0.15) && content.length > 0 ? ({ isError: true } as const) : {};
  return { type: 'result', call, content, ...isError };
}

/** Calls that need the client's consent, which is given, refused, given twice and given late. */
function confirmations(stage: Stage): Step[] {
  const { dice, policies, isWide } = stage;
  // Those that are consented to in one request run side by side.
  const asks = dice.int(1, 3);
  const custom = dice.chance(0.2) ? [lookup(stage)] : [];
  const beside = isWide && dice.chance(0.2) ? [call(stage, 'bash')] : [];
  const asked = Array.from({ length: asks }, () => call(stage, policies.asked));
  const opening = turn(stage, [round([...asked, ...custom, ...beside]), { say: 'It was: {{results}}' }]);
  const words = Array.from({ length: asks }, (_, at) => confirmation(stage, at));
  const [first] = words;
  const results = custom.map(() => answer(stage, asks));
  const all = dice.shuffle([...words, ...results]);
  const twice = dice.chance(0.2) && first ? [confirmation(stage, 0)] : [];
  const atOnce = isWide || asks === 1 ? 3 : 0;
  const closing = dice.weigh<readonly Step[]>([
    [atOnce, [send(...all, ...twice), REST]],
    [2, all.flatMap((one) => [send(one), REST])],
    [atOnce / 6, [send({ type: 'result', call: 0, content: [] }), send(...all), REST]],
  ]);
  return [...opening, ...closing, ...(dice.chance(0.3) && first ? [send(first), REST] : [])];
}

function confirmation(stage: Stage, call: number): Sent {
  const { dice } = stage;
  if (dice.chance(0.6)) return { type: 'confirm', call };
  return { type: 'confirm', call, deny: dice.chance(0.8) ? `not ${stage.name()}` : '' };
}

/** Calls under the policy `auto`, with all that a judge can say. Those about which it is unsure are settled later. */
function judge(stage: Stage): Step[] {
  const { dice, policies, isWide } = stage;
  const word = (): string => dice.pick(['drover:deny', 'drover:unsure']);
  const judged = [
    ...Array.from({ length: several(stage, 2) }, () => call(stage, policies.judged)),
    ...Array.from({ length: dice.int(0, 2) }, () => call(stage, policies.judged, word())),
  ];
  const failing = dice.chance(0.15) ? [call(stage, policies.judged, 'drover:judge-fails')] : [];
  const calls = dice.shuffle([
    ...judged,
    ...failing,
    ...(isWide && dice.chance(0.3) ? [call(stage, 'bash')] : []),
  ]);
  return turn(stage, [...speech(stage), round(calls), { say: 'It was: {{results}}' }]);
}

/** A system message in the middle of the conversation; models that do not take one refuse it. */
function system(stage: Stage): Step[] {
  const said: Sent = { type: 'system', text: `From now on, ${stage.name()}.` };
  return [send(message(stage, speech(stage)), said), REST];
}

function takesSystemMessages({ model }: Stage): boolean {
  return model !== 'claude-haiku-4-5';
}

/** Failures of the model: some that pass, some that do not, some in the middle of an answer. */
function failures(stage: Stage): Step[] {
  const { dice, isWide } = stage;
  const id = stage.name();
  const often = { times: dice.int(1, 3), id };
  const soon = dice.chance(0.5) ? { retryAfter: 0.05 } : {};
  const failure = dice.weigh<Line>([
    [3, { fail: dice.pick([529, 429, 500, 503, 408, 409]), ...soon, ...often }],
    [1, { fail: 529, shouldRetry: false, ...often }],
    [1, { fail: 400, shouldRetry: true, ...often }],
    [2, { fail: dice.pick([400, 401, 402, 403, 404]), times: 1, id }],
    [isWide ? 0 : 1, { fail: 413, ...often }],
    [2, { fail: 'error', after: dice.int(0, 3), ...often }],
    [0.5, { fail: 'error', type: 'invalid_request_error', times: 1, id }],
    [1, { fail: 'drop', ...often }],
    [1, { fail: 'cut', after: dice.int(0, 3), ...often }],
  ]);
  const opening = dice.chance(0.3) ? [{ call: 'bash', input: { command: `echo ${id}` } }] : BEFORE;
  const words = { say: `What I wanted to say about ${id} was only this, and now I have said it.` };
  return turn(stage, [...opening, failure, words]);
}

/** A compaction that the client wishes for, at rest or in the middle of a turn. */
function compaction(stage: Stage): Step[] {
  const { dice } = stage;
  const wish: Step = dice.chance(0.5) ? { do: 'compact' } : { do: 'compact', keepAnswers: dice.int(0, 3) };
  const summary = dice.chance(0.5)
    ? [{ summary: `All that {{count}} messages said was ${stage.name()}.` }]
    : [];
  if (dice.chance(0.6)) return [wish, ...turn(stage, [...summary, ...speech(stage)])];
  const { line, started, open } = gated(stage);
  const lines = [...summary, line, { say: 'It was: {{result}}' }];
  return [send(message(stage, lines)), started, wish, open, REST];
}

/** Prompts that become too long for the model. */
function smallWindow(stage: Stage): Step[] {
  const { dice } = stage;
  const long: Sent = { type: 'message', content: [text(filler(stage)), text(filler(stage))] };
  const lines = [
    { window: dice.pick([10, 4000, 6000, 8000]) },
    ...speech(stage),
    { stop: 'end_turn' },
    ...speech(stage),
  ];
  return [...turn(stage, lines), send(long), REST, ...turn(stage, speech(stage))];
}

/** Changes of the session itself. */
function update(stage: Stage): Step[] {
  const { dice } = stage;
  const what = dice.pick(['title', 'metadata', 'tools', 'servers', 'nothing', 'wrong']);
  const after = turn(stage, [...speech(stage), call(stage, 'bash'), { say: '{{result}}' }]);
  switch (what) {
    case 'title':
      return [{ do: 'update', body: { title: dice.chance(0.8) ? stage.name() : null } }];
    case 'metadata':
      return [
        {
          do: 'update',
          body: { metadata: { [dice.pick(['a', 'b'])]: dice.chance(0.7) ? stage.name() : null } },
        },
      ];
    case 'tools':
      stage.policies = dealPolicies(dice);
      return [{ do: 'update', body: { agent: { tools: toolsUnder(stage.policies) } } }, ...after];
    case 'servers': {
      const servers = dice.chance(0.5)
        ? [{ type: 'url', name: 'files', url: 'https://mcp.invalid/mcp' }]
        : [];
      const set = servers.map(({ name }) => ({ type: 'mcp_toolset', mcp_server_name: name }));
      const tools = [...toolsUnder(stage.policies), ...set];
      return [{ do: 'update', body: { agent: { tools, mcp_servers: servers } } }, ...after];
    }
    case 'nothing':
      return [{ do: 'update', body: {} }];
    default:
      return [
        { do: 'update', body: { agent: { system: 'another one' } } },
        { do: 'update', body: { vault_ids: [] } },
      ];
  }
}

/** The budget, raised before it is reached. What happens when it is: whatever scene spends the last of it. */
function budget(stage: Stage): Step[] {
  const { dice } = stage;
  const byCents = dice.weigh([
    [3, dice.int(1, 200)],
    [1, null],
    [1, -1],
  ]);
  return [{ do: 'raise', byCents }, ...turn(stage, speech(stage))];
}

/** Calls of tools that are switched off or do not exist. */
function off(stage: Stage): Step[] {
  const { dice, policies } = stage;
  const wrong = dice.pick([policies.off, 'web_search', 'no_such_tool', 'read_session_log']);
  const one = { ...call(stage, wrong), unoffered: true };
  const beside = dice.chance(0.5) ? [call(stage, 'bash')] : [];
  return turn(stage, [round([one, ...beside]), { say: 'It was: {{results}}' }]);
}

/** Requests that are refused, or that change nothing. */
function refusals(stage: Stage): Step[] {
  const steps: Step[] = [
    send({ type: 'result', call: -1, content: [] }),
    send({ type: 'confirm', call: -1 }),
    send({ type: 'interrupt', thread: 'unknown' }),
    send({ type: 'system', text: 'alone' }),
    send({ type: 'system', text: 'first' }, smallTalk(stage)),
    send(smallTalk(stage), { type: 'confirm', call: -1 }),
  ];
  return [...stage.dice.shuffle(steps).slice(0, 3), ...turn(stage, speech(stage))];
}
