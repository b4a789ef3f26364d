/** Token counts of the scripted model: four characters make a token. Deterministic, and near enough to reason with. */
import { createHash } from 'node:crypto';
import type { Block, CacheControl, PromptRequest } from './shape.ts';
import { marksIn } from './rules.ts';

const CHARS_PER_TOKEN = 4;
// Pictures and pages cost by size, not by the length of their encoding; one flat price each will do.
const IMAGE_TOKENS = 1600;
const DOCUMENT_TOKENS = 3000;

/** One block of the prompt, in the order in which the real API lays it out: tools, system, messages. */
export interface PromptUnit {
  readonly tokens: number;
  /** Identifies everything up to and including this block. */
  readonly prefixHash: string;
  /** How long the prefix is to be kept, where a breakpoint sits on this block. */
  readonly ttlMs: number | undefined;
}

/** Counts the tokens of a text; nothing costs nothing. */
export function textTokens(text: string): number {
  return Math.ceil(text.length / CHARS_PER_TOKEN);
}

/** Lays the prompt out as a chain of blocks. A change in one block changes the hash of all that follow. */
export function promptUnits(request: PromptRequest): PromptUnit[] {
  const { tools, system, messages, tool_choice: choice, thinking } = request;
  const rows: { value: unknown; tokens: number; marks: readonly (CacheControl | null | undefined)[] }[] = [
    ...tools.map((tool) => ({
      value: ['tool', tool],
      tokens: jsonTokens(tool),
      marks: [tool.cache_control],
    })),
    ...system.map((block) => ({
      value: ['system', block],
      tokens: textTokens(block.text),
      marks: [block.cache_control],
    })),
    // Tool choice and thinking are part of what the messages are cached under, as in the real API.
    ...messages.flatMap(({ role, content }) =>
      content.map((block) => ({
        value: [role, block, choice ?? null, thinking ?? null],
        tokens: blockTokens(block),
        marks: marksIn(block),
      })),
    ),
  ];
  const automatic = rows.length - 1;
  let hash = request.model;
  return rows.map(({ value, tokens, marks }, i) => {
    hash = createHash('sha256').update(hash).update(withoutMarks(value)).digest('hex');
    const all = i === automatic ? [...marks, request.cache_control] : marks;
    return { tokens, prefixHash: hash, ttlMs: longest(all) };
  });
}

/** Sums up a prompt. */
export function promptTokens(units: readonly PromptUnit[]): number {
  return units.reduce((sum, { tokens }) => sum + tokens, 0);
}

/** JSON without cache breakpoints: moving a breakpoint does not change what is said. */
export function withoutMarks(value: unknown): string {
  return JSON.stringify(value, (key, inner: unknown) => (key === 'cache_control' ? undefined : inner));
}

function blockTokens(block: Block): number {
  if (block.type === 'text') return textTokens(block.text);
  if (block.type === 'image') return IMAGE_TOKENS;
  if (block.type === 'document') {
    return block.source.type === 'text' ? textTokens(block.source.data) : DOCUMENT_TOKENS;
  }
  if (block.type !== 'tool_result' || !Array.isArray(block.content)) return jsonTokens(block);
  const { content, ...rest } = block;
  return jsonTokens(rest) + content.reduce((sum, part) => sum + partTokens(part), 0);
}

function partTokens(part: { type: string; text?: unknown }): number {
  if (part.type === 'image') return IMAGE_TOKENS;
  if (part.type === 'document') return DOCUMENT_TOKENS;
  return typeof part.text === 'string' ? textTokens(part.text) : jsonTokens(part);
}

function jsonTokens(value: unknown): number {
  return textTokens(withoutMarks(value));
}

function longest(marks: readonly (CacheControl | null | undefined)[]): number | undefined {
  const set = marks.filter((mark) => mark !== null && mark !== undefined);
  if (set.length === 0) return undefined;
  return set.some(({ ttl }) => ttl === '1h') ? 3_600_000 : 300_000;
}
