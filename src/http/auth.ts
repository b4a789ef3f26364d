/** Who is calling: an API key, known by its SHA-256, belongs to a workspace (wire-api section 1.1). */
import { createHash } from 'node:crypto';
import { createMiddleware } from 'hono/factory';
import type { Records } from '../records.ts';
import { unauthenticated } from '../wire/error.ts';
import type { AppEnv } from './app.ts';

/** The form in which keys are stored and looked up: the key itself is kept nowhere. */
export function hashApiKey(key: string): string {
  return createHash('sha256').update(key, 'utf8').digest('hex');
}

/**
 * Lets a request through when it carries a known key as `Authorization: Bearer` (SDK 1.x) or as `x-api-key` (older
 * SDKs, curl), and notes its workspace. `anthropic-version`, `anthropic-beta` and `?beta=true` are not looked at:
 * every value is accepted, also none.
 */
export function createAuth(apiKeys: Records['apiKeys']) {
  return createMiddleware<AppEnv>(async (c, next) => {
    const keys = presentedKeys(c.req.header('authorization'), c.req.header('x-api-key'));
    if (keys.length === 0)
      throw unauthenticated('An API key is required: send it as `Authorization: Bearer` or `x-api-key`.');
    const workspaceId = await firstWorkspace(apiKeys, keys);
    if (workspaceId === undefined) throw unauthenticated('invalid API key');
    c.set('workspaceId', workspaceId);
    await next();
    c.header('anthropic-workspace-id', workspaceId);
  });
}

function presentedKeys(authorization: string | undefined, apiKey: string | undefined): string[] {
  const bearer = /^Bearer +(.+)$/i.exec(authorization?.trim() ?? '')?.[1];
  return [bearer, apiKey?.trim()].filter((key) => key !== undefined && key !== '') as string[];
}

async function firstWorkspace(
  apiKeys: Records['apiKeys'],
  keys: readonly string[],
): Promise<string | undefined> {
  for (const key of keys) {
    const found = await apiKeys.find(hashApiKey(key));
    if (found !== undefined) return found.workspaceId;
  }
  return undefined;
}
