/**
 * The pipe that commands write to. Node gives a child sockets for its output, which cannot be opened by name, so
 * that `echo x > /dev/stderr` fails; and the SDK's shell keeps only the last 100 KiB. A named pipe has neither fault.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { constants, fstatSync, openSync } from 'node:fs';
import { lstat, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { promisify } from 'node:util';

const DETACH_PATIENCE_MS = 5_000;

/** Whose turn it is to get what comes out of the pipe. */
export interface OutputPipe {
  readonly path: string;
  /** Sends the output from now on to `take`, until `detach`. What comes while nobody takes it is dropped. */
  attach(take: (text: string) => void): Promise<void>;
  /** Resolves when all that was written before this call has been taken. */
  detach(): Promise<void>;
}

/** The pipe at `path`, which is made when first needed and made again if somebody removed it. */
export function createOutputPipe(path: string): OutputPipe {
  let stream: Socket | undefined;
  let inode = -1;
  let take: ((text: string) => void) | undefined;
  let decoder = new StringDecoder('utf8');
  let marker: { readonly bytes: Buffer; readonly seen: () => void } | undefined;
  let held: Buffer = Buffer.alloc(0);

  const receive = (chunk: Buffer): void => {
    if (marker === undefined) {
      take?.(decoder.write(chunk));
      return;
    }
    held = Buffer.concat([held, chunk]);
    const at = held.indexOf(marker.bytes);
    // Short of the marker, keep back what may be its beginning.
    const ready = at >= 0 ? at : Math.max(0, held.length - marker.bytes.length + 1);
    take?.(decoder.write(held.subarray(0, ready)));
    held = held.subarray(ready);
    if (at < 0) return;
    take?.(decoder.end());
    take = undefined;
    marker.seen();
  };

  const reopen = async (): Promise<void> => {
    stream?.destroy();
    await rm(path, { force: true, recursive: true });
    await promisify(execFile)('mkfifo', ['-m', '600', path]);
    // Open for both ends: opening does not wait for a writer, and there is no end of file between two writers.
    const file = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    inode = fstatSync(file).ino;
    stream = new Socket({ fd: file, readable: true, writable: true });
    stream.on('data', receive);
    stream.on('error', () => {
      inode = -1;
    });
  };

  return {
    path,
    async attach(to) {
      const found = await lstat(path).catch(() => undefined);
      if (stream === undefined || found?.ino !== inode) await reopen();
      decoder = new StringDecoder('utf8');
      held = Buffer.alloc(0);
      take = to;
    },
    async detach() {
      if (stream === undefined || take === undefined) return;
      const bytes = Buffer.from(`\0${randomUUID()}\0`);
      await new Promise<void>((resolve) => {
        // A command that reads from the pipe itself may swallow the marker: that must not hold up the shell.
        const timer = setTimeout(resolve, DETACH_PATIENCE_MS);
        marker = { bytes, seen: () => (clearTimeout(timer), resolve()) };
        stream?.write(bytes);
      });
      marker = undefined;
      take = undefined;
    },
  };
}
