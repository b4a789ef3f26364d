/** Judges from outside what a server has made of conversations under chaos: by its API, and by what is in the sandboxes. */
import type Anthropic from '@anthropic-ai/sdk';
import { listAll, type Event } from '../compare/follow.ts';
import type { Attack } from './attack.ts';
import type { Conversation } from './client.ts';

/** What was found, each to be 0; and what is only counted. */
export interface Verdict {
  /** Sessions whose conversation did not come to its end, or that are not idle. */
  unfinished: number;
  /** Acknowledged events that are not in the log. */
  lost: number;
  /** Events that are in the log twice, acknowledged or not. */
  duplicated: number;
  /** Events that stand in another order than they were acknowledged in, or than a stream gave them. */
  reordered: number;
  /** Events that a stream gave and that the list does not have. */
  unheard: number;
  /** Positions that are missing, or that stand twice. */
  holes: number;
  /** Tool uses without exactly one result. */
  unanswered: number;
  /** Commands that ran twice, or that have a normal result and did not run. */
  misrun: number;
  /** Requests of the model beyond one for each step, and one for each session that was at work at a kill. */
  overasked: number;
}

/** What a verdict says when all is well. */
export const SPOTLESS: Verdict = {
  unfinished: 0,
  lost: 0,
  duplicated: 0,
  reordered: 0,
  unheard: 0,
  holes: 0,
  unanswered: 0,
  misrun: 0,
  overasked: 0,
};

/** What there was, for the report. */
export interface Tallies {
  events: number;
  toolUses: number;
  /** Calls that were answered by an error that is not an interrupt. */
  unknown: number;
  answers: number;
  /** Steps: model requests as the logs have them, each with one span. */
  spans: number;
}

/** What is known besides the conversations. */
export interface Evidence {
  /** How often each mark was left in a sandbox. */
  readonly marks: ReadonlyMap<string, number>;
  readonly attacks: readonly Pick<Attack, 'atWork'>[];
  /** How often the model was asked. */
  readonly requests: number;
}

const WITHIN_MS = 60_000;

/** Judges all conversations. */
export async function judge(
  client: Anthropic,
  conversations: readonly Conversation[],
  { marks, attacks, requests }: Evidence,
): Promise<{ verdict: Verdict; tallies: Tallies; details: readonly string[] }> {
  const verdict = { ...SPOTLESS };
  const tallies: Tallies = { events: 0, toolUses: 0, unknown: 0, answers: 0, spans: 0 };
  const details: string[] = [];
  for (const conversation of conversations) {
    const found = await judgeOne(client, conversation, marks, tallies);
    for (const [key, what] of found) {
      verdict[key] += 1;
      details.push(`${conversation.session}: ${key}: ${what}`);
    }
  }
  verdict.overasked = overasked(requests, tallies.spans, attacks);
  if (verdict.overasked > 0) details.push(`overasked: ${requests} requests for ${tallies.spans} steps`);
  return { verdict, tallies, details };
}

/** A step costs one request, and one more for each time that whoever carried it out was killed. */
export function overasked(
  requests: number,
  steps: number,
  attacks: readonly Pick<Attack, 'atWork'>[],
): number {
  const lost = attacks.reduce((sum, { atWork }) => sum + atWork, 0);
  return Math.max(0, requests - steps - lost);
}

async function judgeOne(
  client: Anthropic,
  { session, following, acknowledged, isDone }: Conversation,
  marks: ReadonlyMap<string, number>,
  tallies: Tallies,
): Promise<[keyof Verdict, string][]> {
  const found: [keyof Verdict, string][] = [];
  const patient = client.withOptions({ timeout: WITHIN_MS, maxRetries: 5 });
  const listed = await listAll(patient, session);
  const { status } = await patient.beta.sessions.retrieve(session);
  if (!isDone || status !== 'idle') found.push(['unfinished', `${status}, ended ${isDone}`]);

  const order = new Map<string, number>();
  for (const [index, { id }] of listed.entries()) {
    if (order.has(id)) found.push(['duplicated', id]);
    order.set(id, index);
  }
  for (const id of acknowledged) if (!order.has(id)) found.push(['lost', id]);
  const messages = new Set(listed.flatMap(({ id, type }) => (type === 'user.message' ? [id] : [])));
  for (const id of outOfOrder(
    acknowledged.filter((one) => messages.has(one)),
    order,
  ))
    found.push(['reordered', id]);
  const seen = following.seen.map(({ event }) => event.id);
  for (const id of seen) if (!order.has(id)) found.push(['unheard', id]);
  for (const id of outOfOrder(seen, order)) found.push(['reordered', id]);

  for (const hole of await holesOf(patient, session, listed)) found.push(['holes', hole]);
  for (const text of unanswered(listed)) found.push(['unanswered', text]);
  for (const text of misrun(listed, marks)) found.push(['misrun', text]);
  const results = resultsOf(listed);
  tallies.events += listed.length;
  tallies.toolUses += listed.filter(({ type }) => type === 'agent.tool_use').length;
  tallies.unknown += results.filter(({ isError, text }) => isError && !text.includes('interrupted')).length;
  tallies.spans += listed.filter(({ type }) => type === 'span.model_request_start').length;
  tallies.answers += listed.filter(
    (event) => event.type === 'span.model_request_end' && !event.is_error,
  ).length;
  return found;
}

/** Those that stand before one that came before them. */
function outOfOrder(ids: readonly string[], order: ReadonlyMap<string, number>): string[] {
  let last = -1;
  return ids.filter((id) => {
    const at = order.get(id) ?? last;
    const isLate = at < last;
    last = Math.max(last, at);
    return isLate;
  });
}

/** By positions: each once, in the order of the list as far as both have an event in its final form. */
async function holesOf(client: Anthropic, session: string, listed: readonly Event[]): Promise<string[]> {
  const all: { readonly position: number; readonly event: Event }[] = [];
  for (let from: number | null = 0; from !== null;) {
    const page: { data: typeof all; next: number | null } = await client.get(
      `/v1/x/sessions/${session}/events?from=${from}`,
    );
    all.push(...page.data);
    from = page.next;
  }
  const problems = all.flatMap(({ position }, index) =>
    index > 0 && position <= (all[index - 1]?.position ?? -1) ? [`position ${position} comes again`] : [],
  );
  const final = all.filter(({ event }) => event.processed_at !== null).map(({ event }) => event.id);
  const expected = listed.filter(({ processed_at }) => processed_at !== null).map(({ id }) => id);
  return JSON.stringify(final) === JSON.stringify(expected)
    ? problems
    : [...problems, 'slice and list differ'];
}

function unanswered(listed: readonly Event[]): string[] {
  const uses = listed.flatMap((event) =>
    event.type === 'agent.tool_use' || event.type === 'agent.custom_tool_use' ? [event.id] : [],
  );
  return uses.flatMap((id) => {
    const count = listed.filter(
      (event) =>
        (event.type === 'agent.tool_result' && event.tool_use_id === id) ||
        (event.type === 'user.custom_tool_result' && event.custom_tool_use_id === id),
    ).length;
    // An interrupt closes a call of the client's by a result of our own.
    return count === 1 ? [] : [`${id} has ${count} results`];
  });
}

interface Result {
  readonly text: string;
  readonly isError: boolean;
}

function resultsOf(listed: readonly Event[]): Result[] {
  return listed.flatMap((event) =>
    event.type === 'agent.tool_result'
      ? [
          {
            text: (event.content ?? []).map((block) => (block.type === 'text' ? block.text : '')).join(''),
            isError: event.is_error === true,
          },
        ]
      : [],
  );
}

/** Every mark that a command of the session was to leave. */
function misrun(listed: readonly Event[], marks: ReadonlyMap<string, number>): string[] {
  const ran = resultsOf(listed).flatMap(
    ({ text }) => /ran (?<mark>s\d+-\d+b?)/.exec(text)?.groups?.['mark'] ?? [],
  );
  const asked = listed.flatMap((event) =>
    event.type === 'agent.tool_use'
      ? (/echo (?<mark>s\d+-\d+b?) >>/.exec(JSON.stringify(event.input))?.groups?.['mark'] ?? [])
      : [],
  );
  return [
    ...asked.flatMap((mark) => ((marks.get(mark) ?? 0) > 1 ? [`${mark} ran ${marks.get(mark)} times`] : [])),
    ...ran.flatMap((mark) => (marks.has(mark) ? [] : [`${mark} has a result and did not run`])),
  ];
}
