/** Building images through the daemon's API. */
import type Dockerode from 'dockerode';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack, type Pack } from 'tar-stream';
import { toStatus } from './container.ts';

/** A file that goes into an image. */
export interface ContextFile {
  /** Where it is in the context. */
  readonly path: string;
  readonly source: string;
}

/** What to build. */
export interface BuildOptions {
  readonly context: Readable;
  /** The stage of the Dockerfile to stop at; the last one by default. */
  readonly target?: string;
  readonly reference: string;
  readonly log: (line: string) => void;
}

interface Progress {
  readonly stream?: string;
  readonly error?: string;
}

/** Builds an image and tags it. Rejects with what the build said last. */
export async function build(docker: Dockerode, options: BuildOptions): Promise<void> {
  const { context, reference, target, log } = options;
  const wanted = { t: reference, forcerm: true, ...(target === undefined ? {} : { target }) };
  const progress = await docker.buildImage(context, wanted);
  await follow(docker, progress, ({ stream }) => {
    if (stream?.startsWith('Step ')) log(`sandbox image: ${stream.trim()}`);
  });
}

/** Waits for the end of something long. The daemon has said 200 by then, so failures come in the stream too. */
export async function follow(
  docker: Dockerode,
  progress: NodeJS.ReadableStream,
  onEvent: (event: Progress) => void = () => undefined,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const end = (error: Error | null): void => (error === null ? resolve() : reject(error));
    docker.modem.followProgress(progress, end, (event: Progress) => {
      if (event.error !== undefined) reject(new Error(event.error));
      else onEvent(event);
    });
  });
}

/** Whether the daemon has an image. */
export async function hasImage(docker: Dockerode, reference: string): Promise<boolean> {
  try {
    await docker.getImage(reference).inspect();
    return true;
  } catch (error) {
    if (toStatus(error) === 404) return false;
    throw error;
  }
}

/** A build context as a tar stream. `inline` files come from memory. */
export function packContext(
  files: readonly ContextFile[],
  inline: Readonly<Record<string, string>> = {},
): Readable {
  const tar = pack();
  const fill = async (): Promise<void> => {
    for (const [name, text] of Object.entries(inline)) tar.entry({ name, mtime: new Date(0) }, text);
    for (const file of files) await add(tar, file);
    tar.finalize();
  };
  fill().catch((error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))));
  return Readable.from(tar);
}

async function add(tar: Pack, { path, source }: ContextFile): Promise<void> {
  const { size, mode } = await stat(source);
  // The same time whenever it is packed, so that the daemon finds what it has built before.
  const header = { name: path, size, mode: mode & 0o111 ? 0o755 : 0o644, mtime: new Date(0) };
  await pipeline(createReadStream(source), tar.entry(header));
}
