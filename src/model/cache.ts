/** The prompt cache, simulated: prefixes are written at breakpoints and found again by looking back from one. */
import type { PromptUnit } from './tokens.ts';

const LOOK_BACK = 20;
const HOUR_MS = 3_600_000;
const SWEEP_AT = 10_000;

/** How the tokens of a prompt divide. */
export interface CacheUsage {
  /** Neither read nor written: all that follows the last breakpoint, or everything without one. */
  readonly inputTokens: number;
  readonly readTokens: number;
  readonly written5mTokens: number;
  readonly written1hTokens: number;
}

/** A prompt cache. */
export interface PromptCache {
  /** Looks a prompt up, and keeps what its breakpoints ask to be kept. */
  use(units: readonly PromptUnit[]): CacheUsage;
}

/** Makes an empty cache. Prefixes shorter than `minTokens` are silently not kept, as with the real one. */
export function createPromptCache({ minTokens, now }: { minTokens: number; now: () => number }): PromptCache {
  const entries = new Map<string, { ttlMs: number; expiresAt: number }>();

  const isLive = (hash: string) => (entries.get(hash)?.expiresAt ?? 0) > now();
  const keep = (hash: string, ttlMs: number) => entries.set(hash, { ttlMs, expiresAt: now() + ttlMs });

  /** The longest live prefix that one of the breakpoints can see; -1 without any. */
  function findHit(units: readonly PromptUnit[], marks: readonly number[]): number {
    for (const mark of marks.toReversed()) {
      for (let at = mark; at >= 0 && at > mark - LOOK_BACK; at--) {
        if (isLive(units[at]?.prefixHash ?? '')) return at;
      }
    }
    return -1;
  }

  function sweep(): void {
    if (entries.size < SWEEP_AT) return;
    for (const [hash, { expiresAt }] of entries) if (expiresAt <= now()) entries.delete(hash);
  }

  return {
    use(units) {
      sweep();
      const totals = runningTotals(units);
      const upTo = (at: number) => (at < 0 ? 0 : (totals[at] ?? 0));
      const marks = units.flatMap(({ ttlMs }, at) =>
        ttlMs !== undefined && upTo(at) >= minTokens ? [at] : [],
      );
      const hit = findHit(units, marks);
      const written = { short: 0, long: 0 };
      let from = hit;
      for (const [at, unit] of units.entries()) {
        const entry = entries.get(unit.prefixHash);
        // Reading a prefix renews every entry within it.
        if (at <= hit && entry !== undefined && isLive(unit.prefixHash)) keep(unit.prefixHash, entry.ttlMs);
        if (at <= hit || unit.ttlMs === undefined || !marks.includes(at)) continue;
        keep(unit.prefixHash, unit.ttlMs);
        written[unit.ttlMs === HOUR_MS ? 'long' : 'short'] += upTo(at) - upTo(from);
        from = at;
      }
      return {
        inputTokens: upTo(units.length - 1) - upTo(from),
        readTokens: upTo(hit),
        written5mTokens: written.short,
        written1hTokens: written.long,
      };
    },
  };
}

function runningTotals(units: readonly PromptUnit[]): number[] {
  let sum = 0;
  return units.map(({ tokens }) => (sum += tokens));
}
