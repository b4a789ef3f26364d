import { vi } from 'vitest';

/** Waits until a check passes: looks often, and is patient with a machine that has other work. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { interval: 5, timeout: 10_000 });
}
