/**
 * Composition root of the credential proxy: a process of its own, the only one that holds the model API key. It can
 * be reached from this machine alone, unless it is told another address to listen on.
 */
import { listen } from './listen.ts';
import { createLogger, type Logger } from './log-line.ts';
import { createProxyApp } from './proxy/app.ts';
import { createTokens } from './proxy/token.ts';

const ANTHROPIC = 'https://api.anthropic.com';
const LOOPBACK = '127.0.0.1';
const DRAIN_MS = 1_000;

/** What the proxy is told. */
export interface ProxySettings {
  /** 0 picks any. */
  readonly port: number;
  /** Loopback, unless a container's own network does the fencing. */
  readonly host?: string;
  /** The model API; Anthropic's own where no address is given. */
  readonly upstream: { readonly baseUrl?: string | undefined; readonly apiKey?: string | undefined };
  /** Signs session tokens; shared with whoever makes them. */
  readonly tokenSecret: string;
  /** stderr unless a test wants to read along. */
  readonly log?: Logger;
}

/** Runs the proxy. */
export async function runProxy(settings: ProxySettings): Promise<{ port: number; close(): Promise<void> }> {
  const { host = LOOPBACK, upstream, tokenSecret, log = createLogger('proxy') } = settings;
  const { apiKey, baseUrl = ANTHROPIC } = upstream;
  if (!URL.canParse(baseUrl)) throw new TypeError('The address of the model API is no URL.');
  const app = createProxyApp({ tokens: createTokens(tokenSecret), upstream: { baseUrl, apiKey }, log });
  const listening = await listen(app.fetch, { port: settings.port, host });
  log.info('listening', { host, port: listening.port, upstream: new URL(baseUrl).host });
  return { port: listening.port, close: () => listening.close(DRAIN_MS) };
}
