/** The scripted model as a process of its own that counts what it is asked. */
import process from 'node:process';
import type { RequestLog } from '../../src/model/request-log.ts';
import { serveModel } from '../../src/model/serve.ts';
import type { ModelAnswer } from './model.ts';

let count = 0;
/** Keeps nothing: a comparison asks for hundreds of thousands of answers. */
const requests: RequestLog = {
  add({ id, method, path }) {
    if (path.startsWith('/v1/messages')) count += 1;
    return { id, received_at: '', method, path, headers: {}, body: undefined, status: 0, error: null };
  },
  list: () => [],
  clear: () => undefined,
};

const served = await serveModel({ requests });
process.on('message', () => process.send?.({ count } satisfies ModelAnswer));
process.once('disconnect', () => process.exit(0));
process.send?.({ url: served.url } satisfies ModelAnswer);
