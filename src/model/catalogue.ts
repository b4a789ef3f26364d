/** The models that the scripted model lists. It answers under any name; these are for clients that want a choice. */
import type { ModelInfo, ModelLine } from '@anthropic-ai/sdk/resources/models';
import { notFound } from '../wire/error.ts';
import { illegal } from './error.ts';

const EPOCH = '1970-01-01T00:00:00Z';
const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 1000;

const MODELS: readonly ModelInfo[] = [
  model('claude-opus-5-5', 'Claude Opus 5.5', 'opus'),
  model('claude-sonnet-5-5', 'Claude Sonnet 5.5', 'sonnet'),
  model('claude-haiku-5-5', 'Claude Haiku 5.5', 'haiku'),
  model('claude-sonnet-5', 'Claude Sonnet 5', 'sonnet'),
  model('claude-opus-4-8', 'Claude Opus 4.8', 'opus'),
  model('claude-sonnet-4-6', 'Claude Sonnet 4.6', 'sonnet'),
  model('claude-haiku-4-5', 'Claude Haiku 4.5', 'haiku'),
];

function model(id: string, name: string, line: ModelLine): ModelInfo {
  return {
    type: 'model',
    id,
    display_name: `${name} (scripted)`,
    line,
    // A script has no release and no limits of its own; the wire says so with the epoch and with null.
    created_at: EPOCH,
    capabilities: null,
    lifecycle: 'active',
    deprecated_at: null,
    retires_at: null,
    max_input_tokens: null,
    max_tokens: null,
  };
}

/** One listed model. Throws ApiError (404). */
export function findModel(id: string): ModelInfo {
  const found = MODELS.find((candidate) => candidate.id === id);
  if (found === undefined) throw notFound(`model: ${id}`);
  return found;
}

/** One page of the list, by the old cursors `after_id` and `before_id` (wire-api section 5.6). */
export function listModels(query: URLSearchParams) {
  const limit = Number(query.get('limit') ?? DEFAULT_LIMIT);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw illegal(`limit: Input should be a whole number from 1 to ${MAX_LIMIT}`);
  }
  const lifecycles = [...query.getAll('lifecycle'), ...query.getAll('lifecycle[]')];
  const all = MODELS.filter(({ lifecycle }) => lifecycles.length === 0 || lifecycles.includes(lifecycle));
  const after = query.get('after_id');
  const before = query.get('before_id');
  const from = after === null ? 0 : position(all, after, 'after_id') + 1;
  const to = before === null ? all.length : position(all, before, 'before_id');
  const window = all.slice(from, to);
  const data = before === null ? window.slice(0, limit) : window.slice(-limit);
  return {
    data,
    has_more: data.length < window.length,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
  };
}

function position(models: readonly ModelInfo[], id: string, name: string): number {
  const at = models.findIndex((candidate) => candidate.id === id);
  if (at === -1) throw illegal(`${name}: no such model: ${id}`);
  return at;
}
