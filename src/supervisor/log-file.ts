/** Log files of child processes: lines with a time, bounded in size. */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { toLogLine } from './output.ts';

const LARGEST_BYTES = 16 * 1024 * 1024;
const LONGEST_LINE = 64 * 1024;

/** Where a child's lines go. */
export interface LogFile {
  write(line: string): void;
  close(): void;
}

/** Opens a log file for appending. When it has grown too large it becomes `<path>.1`, in place of an older one. */
export function openLogFile(path: string, largestBytes = LARGEST_BYTES): LogFile {
  let fd = openSync(path, 'a', 0o600);
  let size = fstatSync(fd).size;
  const turnOver = () => {
    closeSync(fd);
    renameSync(path, `${path}.1`);
    fd = openSync(path, 'a', 0o600);
    size = 0;
  };
  return {
    write(line) {
      try {
        if (size > largestBytes) turnOver();
        size += writeSync(fd, `${toLogLine(line, new Date())}\n`);
      } catch {
        // A full disk must cost log lines, not the supervisor.
      }
    },
    close: () => closeSync(fd),
  };
}

/** Splits a stream of chunks into lines, and calls `onLine` for each; call the result's `end` for what is left. */
export function splitLines(onLine: (line: string) => void): { push(chunk: string): void; end(): void } {
  let rest = '';
  return {
    push(chunk) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line.replace(/\r$/, ''));
      if (rest.length > LONGEST_LINE) {
        onLine(rest);
        rest = '';
      }
    },
    end() {
      if (rest !== '') onLine(rest);
      rest = '';
    },
  };
}
