/** How much of what a session has sent before it reads from the prompt cache. */
import { promptTokens } from '../../src/log.ts';
import { script } from '../../src/model/directives.ts';
import type { SpanUsage } from '../../src/wire/event.ts';
import {
  clientOf,
  figures,
  makeAgent,
  round,
  runTurn,
  withServer,
  type Result,
  type Scenario,
} from './measure.ts';

const TURNS = 100;

/** `cache`. */
export const cache: Scenario = {
  about: `${TURNS} turns of one session with one tool call each, the prompt cache simulated by the scripted model`,
  run: () =>
    withServer({ DROVER_SANDBOX: 'bubblewrap' }, async (server) => {
      const client = clientOf(server);
      const session = await client.beta.sessions.create(await makeAgent(client));
      for (let turn = 0; turn < TURNS; turn += 1) {
        const call = { call: 'bash', input: { command: `echo ${turn}` } };
        await runTurn(client, session.id, script(call, { say: 'ok' }));
      }
      const usages: SpanUsage[] = [];
      const ends = client.beta.sessions.events.list(session.id, { types: ['span.model_request_end'] });
      for await (const event of ends)
        if (event.type === 'span.model_request_end') usages.push(event.model_usage);
      return toResult(usages);
    }),
};

/** All of a prompt could have been cached that the request before it had sent already. */
function toResult(usages: readonly SpanUsage[]): Result {
  const sizes = usages.map(promptTokens);
  const reads = usages.slice(1).map((usage) => usage.cache_read_input_tokens);
  const cacheable = sizes.slice(0, -1);
  return {
    'model requests': usages.length,
    'tokens that could be read from the cache': sum(cacheable),
    'tokens that were': sum(reads),
    'share of it, %': percent(sum(reads), sum(cacheable)),
    'share of it by request, %': figures(reads.map((read, at) => percent(read, cacheable[at] ?? 0))),
    'share of all prompt tokens, %': percent(sum(reads), sum(sizes)),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function percent(part: number, whole: number): number {
  return round((part / whole) * 100);
}
