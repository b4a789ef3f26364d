/** The `model` of an agent (wire-api section 6.1): a name or an object in, always a full object out. */
import { z } from 'zod';
import { text } from './fields.ts';

/** How hard the model works. */
const EFFORTS = ['low', 'medium', 'high', 'xhigh', 'max'] as const;

/** One of the effort levels. */
type Effort = (typeof EFFORTS)[number];

/** What an agent's requests go to. */
export interface ModelConfig {
  id: string;
  effort: { type: Effort };
  speed: 'standard' | 'fast';
  inference_geo?: string;
}

/** What the Messages API itself takes when a request names no effort. */
const DEFAULT_EFFORT: Effort = 'high';

const modelId = text(256, 1);
const effort = z.union([z.enum(EFFORTS), z.strictObject({ type: z.enum(EFFORTS) })]);

/** `model` as clients send it. */
export const modelParams = z.union([
  modelId,
  z.strictObject({
    id: modelId,
    effort: effort.nullish(),
    speed: z.enum(['standard', 'fast']).nullish(),
    inference_geo: text(64, 1).nullish(),
  }),
]);

/** `model` as clients send it. */
export type ModelParams = z.infer<typeof modelParams>;

/**
 * Fills in what the client left out. With `current`, this is an update: the object replaces the old one whole, but
 * for the effort, which stays as long as the model stays (wire-api section 6.2).
 */
export function resolveModel(params: ModelParams, current?: ModelConfig): ModelConfig {
  const given = typeof params === 'string' ? { id: params } : params;
  const level = typeof given.effort === 'string' ? given.effort : given.effort?.type;
  const kept = current?.id === given.id ? current.effort.type : undefined;
  return {
    id: given.id,
    effort: { type: level ?? kept ?? DEFAULT_EFFORT },
    speed: given.speed ?? 'standard',
    ...(given.inference_geo ? { inference_geo: given.inference_geo } : {}),
  };
}
