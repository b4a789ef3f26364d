/** The plain program as a process of its own: it keeps its agents in a map, and answers its parent's messages. */
import Anthropic from '@anthropic-ai/sdk';
import process from 'node:process';
import { handKey } from '../../src/hand-key.ts';
import { createBubblewrapHands } from '../../src/hands/bubblewrap.ts';
import { createAgent, type Agent } from './agent.ts';
import type { Answer, Question, TurnTimes } from './process.ts';

const [modelUrl, dataDir = ''] = process.argv.slice(2);
const client = new Anthropic({ baseURL: modelUrl, apiKey: 'any', maxRetries: 0 });
const hands = createBubblewrapHands({ dataDir, nodePath: process.execPath });
const agents = new Map<string, Agent>();

process.on('message', (question: Question) => {
  answer(question).then(
    (found) => tell({ to: question.number, found }),
    (error: unknown) =>
      tell({ to: question.number, failed: error instanceof Error ? error.message : String(error) }),
  );
});
process.once('disconnect', () => process.exit(0));

async function answer(question: Question): Promise<string | number | TurnTimes> {
  if (question.ask === 'create') {
    const id = crypto.randomUUID();
    agents.set(id, createAgent({ client, hands, key: handKey(id, 'only') }));
    return id;
  }
  const agent = agents.get(question.session);
  if (agent === undefined) throw new Error(`no session ${question.session} in this process`);
  return question.ask === 'count' ? agent.messages.length : await timed(agent, question.text);
}

/** Timed in here, as the caller of a plain program would: the way over the channel is none of it. */
async function timed(agent: Agent, text: string): Promise<TurnTimes> {
  const start = performance.now();
  let firstTextMs = Number.NaN;
  await agent.turn(text, () => {
    if (Number.isNaN(firstTextMs)) firstTextMs = performance.now() - start;
  });
  return { firstTextMs, idleMs: performance.now() - start };
}

function tell(message: Answer): void {
  process.send?.(message);
}
