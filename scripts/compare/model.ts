/** The model that all candidates ask: the scripted one, in a process that is none of theirs. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What the model's process says: first where it is, then how often it was asked. */
export type ModelAnswer = { readonly url: string } | { readonly count: number };

/** A model that is being served. */
export interface Model {
  readonly url: string;
  /** How many answers it has been asked for so far. */
  countRequests(): Promise<number>;
  stop(): Promise<void>;
}

const PROGRAM = fileURLToPath(new URL('model-program.ts', import.meta.url));

/** Starts it. */
export async function startModel(): Promise<Model> {
  const child = fork(PROGRAM, [], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit');
  const early = ended.then(() => Promise.reject(new Error('the scripted model ended')));
  early.catch(() => undefined);
  const next = async (): Promise<ModelAnswer> => {
    const [answer] = (await Promise.race([once(child, 'message'), early])) as [ModelAnswer];
    return answer;
  };
  const first = await next();
  if (!('url' in first)) throw new Error('the scripted model did not say where it is');
  return {
    url: first.url,
    async countRequests() {
      const answer = next();
      child.send('count');
      const found = await answer;
      if (!('count' in found)) throw new Error('the scripted model did not count');
      return found.count;
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
