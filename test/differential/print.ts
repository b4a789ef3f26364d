/** What a person reads of a run. Pure. */
import { isSecretName } from '../../src/config.ts';
import type { Conversation } from './conversation.ts';
import type { Finding, Report, RunOptions } from './run.ts';
import type { SideSettings } from './side.ts';

/** A finding, with what leads to it and the command that plays it again. */
export function showFinding({ conversation, difference, fault }: Finding, options: RunOptions): string {
  const head = `conversation ${conversation.index} of seed ${conversation.seed}:`;
  const again = `  again: ${replayCommand(conversation, options)}`;
  if (!difference) return `${head} ${fault ?? ''}\n${again}`;
  const { part, at, path, before, left, right } = difference;
  const context = before.map((item, index) => `    ${at - before.length + index}  ${line(item)}`);
  return [
    `${head} the ${part} differ${part === 'log' ? 's' : ''} at ${at}${path === '' ? '' : `, ${path}`}`,
    ...context,
    `  - ${at}  ${whole(left)}`,
    `  + ${at}  ${whole(right)}`,
    again,
  ].join('\n');
}

/** The command that plays one conversation again. */
export function replayCommand({ seed, index }: Conversation, { left, right }: RunOptions): string {
  const sides = `--left ${quoted(showSide(left))} --right ${quoted(showSide(right))}`;
  return `npm run differential -- --seed ${seed} --only ${index} ${sides}`;
}

/** A conversation, step by step. */
export function showConversation({ seed, index, agent, budgetCents, initial, scenes }: Conversation): string {
  const model = typeof agent.model === 'string' ? agent.model : agent.model.id;
  return [
    `conversation ${index} of seed ${seed}: ${model}, budget ${budgetCents ?? 'none'}`,
    ...(initial ? [`  initial ${JSON.stringify(initial)}`] : []),
    ...scenes.flatMap(({ name, steps }) => [
      `  ${name}`,
      ...steps.map((step) => `    ${JSON.stringify(step)}`),
    ]),
  ].join('\n');
}

/** How often what was seen. */
export function showSeen({ seen }: Pick<Report, 'seen'>): string {
  const names = Object.keys(seen).toSorted();
  return names.map((name) => `${String(seen[name]).padStart(8)} ${name}`).join('\n');
}

/** The closing line. */
export function showReport(
  { conversations, events, kills, findings }: Omit<Report, 'seen'>,
  { left, right }: Pick<RunOptions, 'left' | 'right'>,
): string {
  const { worker, api, hand, hits } = kills;
  return (
    `differential: ${conversations} conversations on ${showSide(left)} and ${showSide(right)}: ${events} events and ` +
    `${worker + api + hand} kills (worker ${worker}, api ${api}, hand ${hand}) that hit ${hits} times compared, ` +
    `${findings.length} differences`
  );
}

/** Reads a side: the name of an engine, then `postgres` and settings: `log postgres DROVER_STEERING=round`. */
export function readSide(text: string): SideSettings {
  const [engine, ...words] = text.split(/\s+/).filter((word) => word !== '');
  if (engine !== 'temporal' && engine !== 'log')
    throw new Error(`expected temporal or log, then settings, got "${text}"`);
  const env = words
    .filter((word) => word !== 'postgres')
    .map((setting) => {
      const [, name, value] = /^([A-Z_]+)=(.*)$/.exec(setting) ?? [];
      if (name === undefined || value === undefined) throw new Error(`expected NAME=value, got "${setting}"`);
      return [name, value] as const;
    });
  return { engine, ...(words.includes('postgres') ? { postgres: true } : {}), env: Object.fromEntries(env) };
}

function showSide({ engine, postgres, env }: SideSettings): string {
  const settings = Object.entries(env).map(([name, value]) => `${name}=${isSecretName(name) ? '…' : value}`);
  return [engine, ...(postgres ? ['postgres'] : []), ...settings].join(' ');
}

function quoted(text: string): string {
  return text.includes(' ') ? `"${text}"` : text;
}

const LINE_CHARS = 200;

function line(item: unknown): string {
  const text = JSON.stringify(item);
  return text.length > LINE_CHARS ? `${text.slice(0, LINE_CHARS)}…` : text;
}

function whole(item: unknown): string {
  return item === undefined ? '(nothing)' : JSON.stringify(item);
}
