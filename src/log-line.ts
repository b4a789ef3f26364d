/** Logging of a role: one JSON object a line on stderr, so that a supervisor can merge the roles' output. */
import process from 'node:process';

/** What may stand in a log line beside the message. Never put headers, bodies or tokens here. */
type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** A role's log. */
export interface Logger {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Makes the log of a role. `write` is where a finished line goes; stderr unless a test wants to read it. */
export function createLogger(role: string, write: (line: string) => void = toStderr): Logger {
  const at =
    (level: string) =>
    (message: string, fields: LogFields = {}) =>
      write(`${JSON.stringify({ time: new Date().toISOString(), level, role, message, ...fields })}\n`);
  return { info: at('info'), warn: at('warn'), error: at('error') };
}

function toStderr(line: string): void {
  process.stderr.write(line);
}
