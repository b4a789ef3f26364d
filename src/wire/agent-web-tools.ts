/** Settings of the web tools (wire-api section 7.2): domain lists, sources of URLs, the place to search from. */
import { z } from 'zod';
import { duplicates, text } from './fields.ts';

/** Which tools' results may contribute URLs. */
export type UrlSourceFilter =
  | { type: 'all' }
  | { type: 'none' }
  | { type: 'only'; tools: { type: 'tool_reference'; name: string }[] }
  | { type: 'except'; tools: { type: 'tool_reference'; name: string }[] };

/** Where the URLs that may be fetched come from; null allows every one. */
export interface UrlSources {
  client_tool_results: UrlSourceFilter | null;
  server_tool_results: UrlSourceFilter | null;
  user_input: { type: 'all' } | { type: 'none' } | null;
}

/** Where a search is made from. */
export interface UserLocation {
  type: 'approximate';
  city?: string | null;
  country?: string | null;
  region?: string | null;
  timezone?: string | null;
}

const LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?';
const HOST = new RegExp(`^${LABEL}(?:\\.${LABEL})+$`);
const IPV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/;

/** Whether a text is a plain public host name: no scheme, port, address or local name. */
function isHostName(host: string): boolean {
  return HOST.test(host) && !IPV4.test(host) && !/(?:^|\.)(?:localhost|local)$/i.test(host);
}

function domains(field: string, pathAllowed: boolean) {
  const isDomain = (entry: string): boolean =>
    isHostName(pathAllowed ? entry.replace(/\/[^\s?#]*$/, '') : entry.replace(/^$/, ' '));
  return z
    .array(text(255, 1).refine(isDomain, { error: 'must be a plain host name such as docs.example.com' }))
    .max(64)
    .refine((list) => list.length > 0, {
      error: 'Empty list of domains is ambiguous. Provide at least one domain or null.',
    })
    .refine((list) => duplicates(list.map((entry) => entry.toLowerCase())).length === 0, {
      error: `${field} must not name a domain twice`,
    })
    .nullish();
}

const reference = z.strictObject({ type: z.literal('tool_reference'), name: text(128, 1) });

const references = z
  .array(reference)
  .min(1)
  .max(128)
  .refine((list) => duplicates(list.map((tool) => tool.name)).length === 0, { error: 'names must differ' });

const all = z.strictObject({ type: z.literal('all') });
const none = z.strictObject({ type: z.literal('none') });
const shorthand = z.enum(['all', 'none']).transform((type): { type: 'all' } | { type: 'none' } => ({ type }));

const userInput = z.union([shorthand, z.discriminatedUnion('type', [all, none])]);

const toolFilter = z.union([
  shorthand,
  z.discriminatedUnion('type', [
    all,
    none,
    z.strictObject({ type: z.literal('only'), tools: references }),
    z.strictObject({ type: z.literal('except'), tools: references }),
  ]),
]);

const SERVER_TOOLS = ['web_search', 'web_fetch'];

const urlSources = z
  .strictObject({
    client_tool_results: toolFilter.nullish(),
    server_tool_results: toolFilter.nullish(),
    user_input: userInput.nullish(),
  })
  .refine(
    (sources) =>
      ![sources.client_tool_results, sources.server_tool_results, sources.user_input].every(
        (source) => source?.type === 'none',
      ),
    { error: 'at least one source must not be "none"' },
  )
  .refine(
    ({ server_tool_results: filter }) => referenced(filter).every((name) => SERVER_TOOLS.includes(name)),
    {
      path: ['server_tool_results'],
      error: 'names must be "web_search" or "web_fetch"',
    },
  );

/** What `web_fetch` takes beyond what every tool takes. */
export const webFetchFields = {
  allowed_domains: domains('allowed_domains', false),
  blocked_domains: domains('blocked_domains', false),
  max_content_tokens: z.int().min(1).nullish(),
  url_sources: urlSources.nullish(),
};

/** What `web_search` takes beyond what every tool takes. */
export const webSearchFields = {
  allowed_domains: domains('allowed_domains', true),
  blocked_domains: domains('blocked_domains', true),
  user_location: z
    .strictObject({
      type: z.literal('approximate'),
      city: text(255).nullish(),
      country: z
        .string()
        .regex(/^[A-Z]{2}$/, { error: 'must be a two-letter country code' })
        .nullish(),
      region: text(255).nullish(),
      timezone: text(255).nullish(),
    })
    .nullish(),
};

interface DomainParams {
  readonly allowed_domains?: string[] | null | undefined;
  readonly blocked_domains?: string[] | null | undefined;
}

/** The settings of `web_fetch` as they are kept. */
export function resolveWebFetch(params: z.infer<z.ZodObject<typeof webFetchFields>>) {
  const { url_sources: sources, max_content_tokens: most } = params;
  return {
    ...resolveDomains(params),
    ...(most === undefined ? {} : { max_content_tokens: most }),
    url_sources: sources
      ? {
          client_tool_results: sources.client_tool_results ?? null,
          server_tool_results: sources.server_tool_results ?? null,
          user_input: sources.user_input ?? null,
        }
      : null,
  };
}

/** The settings of `web_search` as they are kept. */
export function resolveWebSearch(params: z.infer<z.ZodObject<typeof webSearchFields>>) {
  const location = params.user_location;
  if (location === undefined) return resolveDomains(params);
  return { ...resolveDomains(params), user_location: location === null ? null : compact(location) };
}

function resolveDomains({ allowed_domains: allowed, blocked_domains: blocked }: DomainParams) {
  return {
    ...(allowed ? { allowed_domains: allowed } : {}),
    ...(blocked ? { blocked_domains: blocked } : {}),
  };
}

function compact(location: { [K in keyof UserLocation]: UserLocation[K] | undefined }): UserLocation {
  return Object.fromEntries(
    Object.entries(location).filter(([, value]) => value !== undefined),
  ) as unknown as UserLocation;
}

/** The tools that a filter names. */
export function referenced(filter: UrlSourceFilter | null | undefined): string[] {
  return filter?.type === 'only' || filter?.type === 'except' ? filter.tools.map((tool) => tool.name) : [];
}
