/** Times on the wire: RFC 3339, UTC, always six fractional digits, so that text order is time order. */

/** Microseconds since the epoch as the API writes them. */
export function formatMicros(micros: number): string {
  const text = new Date(Math.floor(micros / 1000)).toISOString();
  return `${text.slice(0, -1)}${String(micros % 1000).padStart(3, '0')}Z`;
}

/** The inverse of `formatMicros`; takes RFC 3339 times in UTC with up to six fractional digits. */
export function parseMicros(text: string): number {
  const fraction = /\.(?<digits>\d+)Z$/.exec(text)?.groups?.['digits'] ?? '';
  return Date.parse(`${text.slice(0, 19)}Z`) * 1000 + Number(fraction.slice(0, 6).padEnd(6, '0'));
}
