/** Ports of our own servers: free ones, and the same again after a restart, so that open pages and links go on working. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import process from 'node:process';

const LOOPBACK = '127.0.0.1';
const LAST_PORT = 65_535;

/**
 * A free loopback port for each name, kept in `file`: what was chosen before is chosen again unless somebody else has
 * taken it meanwhile. `fixed` names are taken as they are. Nothing is reserved: who binds late may still lose a port.
 */
export async function choosePorts<Name extends string>(
  file: string,
  names: readonly Name[],
  fixed: { readonly [name in Name]?: number | undefined } = {},
): Promise<Record<Name, number>> {
  const known = await readPorts(file);
  const taken = new Set<number>();
  const chosen = {} as Record<Name, number>;
  for (const name of names) {
    const wanted = fixed[name] ?? known[name];
    const keep =
      wanted !== undefined && (fixed[name] !== undefined || (!taken.has(wanted) && (await isFree(wanted))));
    chosen[name] = keep ? wanted : await freePort(taken);
    taken.add(chosen[name]);
  }
  await writePorts(file, { ...known, ...chosen });
  return chosen;
}

/** Whether a server could listen there now. */
export async function isFree(port: number, host: string = LOOPBACK): Promise<boolean> {
  return (await listenOnce(port, host)) !== undefined;
}

/**
 * Below what systems give to outgoing connections (from 32768 on Linux): a port from there may be free now and the
 * near end of somebody's connection when the server starts or comes back.
 */
const OFFERED = { from: 10_240, to: 32_000 };
const MOST_TRIES = 1000;

async function freePort(taken: ReadonlySet<number>): Promise<number> {
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const port = randomInt(OFFERED.from, OFFERED.to);
    if (!taken.has(port) && (await isFree(port))) return port;
  }
  throw new Error(`no free port on ${LOOPBACK} between ${OFFERED.from} and ${OFFERED.to}`);
}

/** Listens and lets go again; undefined where that was not possible. */
async function listenOnce(port: number, host: string): Promise<number | undefined> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.once('error', () => resolve(undefined));
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? address?.port : undefined));
    });
  });
}

async function readPorts(file: string): Promise<Record<string, number>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(file, 'utf8'));
  } catch {
    // A missing or broken file costs nothing but other ports.
    return {};
  }
  if (typeof parsed !== 'object' || parsed === null) return {};
  return Object.fromEntries(
    Object.entries(parsed).filter((entry): entry is [string, number] => isPort(entry[1])),
  );
}

function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= LAST_PORT;
}

async function writePorts(file: string, ports: Readonly<Record<string, number>>): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const draft = `${file}.${process.pid}`;
  await writeFile(draft, `${JSON.stringify(ports)}\n`);
  await rename(draft, file);
}
