/**
 * Which headers cross the proxy. Only named ones do: whatever is not named, above all every credential of the
 * caller, stays on its side. Hop-by-hop headers, lengths and encodings belong to each connection and are made anew.
 */
import { redactText } from './redact.ts';

const UPSTREAM = new Set(['accept', 'anthropic-beta', 'anthropic-version', 'content-type', 'user-agent']);
const UPSTREAM_PREFIXES = ['x-stainless-'];
const DOWNSTREAM = new Set([
  'cache-control',
  'content-type',
  'request-id',
  'retry-after',
  'retry-after-ms',
  'x-drover-model',
  'x-should-retry',
]);
const DOWNSTREAM_PREFIXES = ['anthropic-ratelimit-'];

/** The headers of the request to the upstream, its credential among them. */
export function toUpstream(headers: Headers, apiKey: string | undefined): Headers {
  const passed = pick(headers, UPSTREAM, UPSTREAM_PREFIXES);
  const length = headers.get('content-length');
  if (length !== null) passed.set('content-length', length);
  // What fetch decodes on its own could not be passed on as it came.
  passed.set('accept-encoding', 'identity');
  if (apiKey !== undefined) passed.set('x-api-key', apiKey);
  return passed;
}

/** The headers of the answer to the caller. */
export function toDownstream(headers: Headers, secret: string | undefined): Headers {
  const passed = pick(headers, DOWNSTREAM, DOWNSTREAM_PREFIXES);
  return new Headers([...passed].map(([name, value]) => [name, redactText(value, secret)]));
}

function pick(headers: Headers, names: ReadonlySet<string>, prefixes: readonly string[]): Headers {
  const isPassed = (name: string) => names.has(name) || prefixes.some((prefix) => name.startsWith(prefix));
  return new Headers([...headers].filter(([name]) => isPassed(name)));
}
