/** A Temporal server on Postgres, and what docker-compose.yml says of it, asked of the real programs. */
import { Client as Postgres } from 'pg';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type PostgresServer } from '../../../scripts/postgres.ts';
import {
  ensureTemporalServer,
  startTemporalOnPostgres,
  type TemporalOnPostgres,
  type TemporalPrograms,
} from '../../../scripts/temporal-on-postgres.ts';
import { connectTemporal } from '../../../src/temporal-server/connection.ts';
import { RETENTION_DAYS, setUpTemporal } from '../../../src/temporal-server/set-up.ts';
import { isAlive } from '../../support/process.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

let folder: string;
let programs: TemporalPrograms;
let postgres: PostgresServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-temporal-'));
  programs = await ensureTemporalServer({ log: () => undefined });
  postgres = await startPostgres();
});

afterAll(async () => {
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('a Temporal server on Postgres', () => {
  let temporal: TemporalOnPostgres;

  beforeAll(async () => {
    temporal = await startTemporalOnPostgres(postgres);
  });

  afterAll(async () => {
    await temporal?.stop();
  });

  async function retentionDays(namespace: string): Promise<number> {
    const connection = await connectTemporal(temporal.address);
    try {
      const { config } = await connection.workflowService.describeNamespace({ namespace });
      return Number(config?.workflowExecutionRetentionTtl?.seconds) / 86_400;
    } finally {
      await connection.close();
    }
  }

  it('listens on loopback only', () => {
    const port = Number(temporal.address.split(':')[1]);
    const listening = listeners(temporal.pid);
    expect(listening).toContain(`127.0.0.1:${port}`);
    // The services have ports of their own, for each other.
    expect(listening.length).toBeGreaterThan(4);
    expect(listening.filter((address) => !address.startsWith('127.0.0.1:'))).toEqual([]);
  });

  it('goes on with what it had, at the same address, after a SIGKILL and after a stop', async () => {
    await setUpTemporal({ address: temporal.address, namespace: 'kept' });
    const { address, pid } = temporal;
    await temporal.kill();
    expect(isAlive(pid)).toBe(false);
    await temporal.restart();
    const second = temporal.pid;
    expect(second).not.toBe(pid);
    await temporal.restart();
    expect(isAlive(second)).toBe(false);
    expect(temporal.address).toBe(address);
    expect(await retentionDays('kept')).toBe(RETENTION_DAYS);
  });

  it('says why it does not start', async () => {
    const file = join(temporal.logFile, '..', 'config', 'development.yaml');
    expect(existsSync(file)).toBe(true);
    rmSync(file);
    await expect(temporal.restart()).rejects.toThrow(/ended with 1: .*no config files found/s);
  });

  it('leaves neither process nor files', async () => {
    const other = await startTemporalOnPostgres(postgres);
    await other.stop();
    expect(isAlive(other.pid)).toBe(false);
    expect(existsSync(other.logFile)).toBe(false);
  });
});

describe('docker/temporal', () => {
  it('sets only what the server knows', async () => {
    const file = join(ROOT, 'docker/temporal/dynamicconfig.yaml');
    const { stdout } = await promisify(execFile)(programs.server, ['validate-dynamic-config', file]);
    expect(stdout.trim()).toBe(file);
  });

  it('makes both databases, and changes nothing when it is run again', async () => {
    mkdirSync(join(folder, 'bin'));
    symlinkSync(programs.sql, join(folder, 'bin', 'temporal-sql-tool'));
    const env = {
      PATH: `${join(folder, 'bin')}:/usr/bin:/bin`,
      POSTGRES_SEEDS: '127.0.0.1',
      DB_PORT: String(postgres.port),
      POSTGRES_USER: new URL(await postgres.createDatabase()).username,
      SQL_PASSWORD: 'none',
    };
    const versions: unknown[] = [];
    for (const _ of ['first', 'again']) {
      await promisify(execFile)('sh', [join(ROOT, 'docker/temporal/schema.sh')], { env });
      versions.push(await schemaVersions(env.POSTGRES_USER));
    }
    expect(versions[0]).toEqual([expect.stringMatching(/^1\.\d+$/), expect.stringMatching(/^1\.\d+$/)]);
    expect(versions[1]).toEqual(versions[0]);
  });
});

/** The versions of the tables, in the two databases under their default names. */
async function schemaVersions(user: string): Promise<string[]> {
  const versions: string[] = [];
  for (const database of ['temporal', 'temporal_visibility']) {
    const client = new Postgres({ host: '127.0.0.1', port: postgres.port, user, database });
    await client.connect();
    const { rows } = await client.query<{ curr_version: string }>('select curr_version from schema_version');
    await client.end();
    versions.push(...rows.map(({ curr_version }) => curr_version));
  }
  return versions;
}

/** The addresses on which a process listens. */
function listeners(pid: number): string[] {
  const fds = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkOrNothing(`/proc/${pid}/fd/${fd}`));
  const ours = new Set(fds.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []));
  return ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state, , , , , , inode = '']) => state === LISTEN && ours.has(inode))
      .map(([, address = '']) => toAddress(address)),
  );
}

const LISTEN = '0A';

/** As the kernel has it: the bytes of an IPv4 address backwards, in hex. */
function toAddress(raw: string): string {
  const [host = '', port = ''] = raw.split(':');
  const bytes = (host.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16));
  return `${bytes.reverse().join('.')}:${Number.parseInt(port, 16)}`;
}

function readlinkOrNothing(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // Closed meanwhile.
    return '';
  }
}
