/** What becomes of a line that a role writes to stderr. Pure. Roles write JSON lines (`log-line.ts`); what is not JSON comes from a runtime or a library. */

/** The line as it goes into the role's log file: JSON as it is, since it has its time; anything else with one. */
export function toLogLine(line: string, now: Date): string {
  return line.startsWith('{') ? line : `${now.toISOString()} ${line}`;
}

/** What a person at the supervisor's terminal gets to see; undefined for everyday news, which the log file has. */
export function toTerminalLine(name: string, line: string): string | undefined {
  const entry = parse(line);
  if (entry === undefined) return `[${name}] ${line}`;
  const { time: _time, level, role: _role, message, ...fields } = entry;
  if (level === 'info' || level === 'debug') return undefined;
  const rest = Object.keys(fields).length === 0 ? '' : ` ${JSON.stringify(fields)}`;
  return `[${name}] ${String(level)}: ${String(message)}${rest}`;
}

function parse(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && 'level' in value && 'message' in value
      ? { ...value }
      : undefined;
  } catch {
    return undefined;
  }
}
