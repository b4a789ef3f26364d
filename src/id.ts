import { randomUUID } from 'node:crypto';
import { toId, type IdPrefix } from './wire/id.ts';

/** Makes a fresh id. Workflow code must not use this: it has `toId(prefix, uuid4())`. */
export function newId(prefix: IdPrefix): string {
  return toId(prefix, randomUUID());
}
