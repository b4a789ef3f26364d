/** What metrics find, and how it is put together. Pure. */

/** A number for each name, for example for each process. */
export type ByName = Readonly<Record<string, number>>;

/** What one run found: samples, one number, one for each part of a whole, or words. */
export type Value = readonly number[] | number | ByName | string;

/** By the keys of the metric's figures. A figure that does not apply is not there. */
export type Values = Readonly<Record<string, Value>>;

/** What was used in between, for each unit of work. */
export function perUnit(before: ByName, after: ByName, units: number): ByName {
  return Object.fromEntries(
    Object.entries(after).map(([name, value]) => [name, (value - (before[name] ?? 0)) / units]),
  );
}
