/** docker-compose.yml and its files, as far as they can be checked without Docker: that they agree with the code. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.ts';
import { DYNAMIC_CONFIG } from '../../src/temporal-server/server.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Service {
  readonly image?: string;
  readonly build?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly networks?: readonly string[];
  readonly depends_on?: Readonly<Record<string, unknown>>;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly networks: Readonly<Record<string, unknown>>;
}

const compose = parseYaml('docker-compose.yml') as Compose;
const services = Object.entries(compose.services);
const ours = services.filter(([, { build }]) => build !== undefined);

/** The parser comes with a development tool of ours; a dependency only for this would be too much. */
function parseYaml(file: string): unknown {
  const ofKnip = createRequire(createRequire(import.meta.url).resolve('knip'));
  const parser = ofKnip('yaml') as { parse(text: string, options: object): unknown };
  return parser.parse(readFileSync(join(ROOT, file), 'utf8'), { merge: true, strict: true });
}

describe('docker-compose.yml', () => {
  it('has the whole product', () => {
    const names = [
      'api',
      'worker',
      'proxy',
      'temporal',
      'temporal-setup',
      'temporal-schema',
      'temporal-ui',
      'postgres',
    ];
    expect(Object.keys(compose.services)).toEqual(expect.arrayContaining(names));
  });

  it('runs commands that exist', () => {
    for (const [name, { command }] of ours)
      expect([name, command?.[0]]).toEqual([name, expect.toSatisfy(isCommand)]);
  });

  it('publishes ports on this machine only', () => {
    const ports = services.flatMap(([, service]) => service.ports ?? []);
    expect(ports.length).toBeGreaterThan(0);
    expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
  });

  it('tells the upstream key to the proxy alone', () => {
    const told = services.filter(([, service]) => JSON.stringify(service).includes('ANTHROPIC_API_KEY'));
    expect(told.map(([name]) => name)).toEqual(['proxy']);
  });

  it('tells the database to API and workers alone, and it is one that is made', () => {
    const told = ours.filter(([, { environment }]) => environment?.['DATABASE_URL'] !== undefined);
    expect(told.map(([name]) => name)).toEqual(['api', 'worker']);
    const url =
      /^\$\{DATABASE_URL:-(.*)\}$/.exec(told[0]?.[1].environment?.['DATABASE_URL'] ?? '')?.[1] ?? '';
    const { hostname, pathname } = new URL(url.replace(/\$\{.*\}/, 'password'));
    expect([hostname, compose.services[hostname]?.image]).toEqual([
      'postgres',
      expect.stringMatching(/^postgres:/),
    ]);
    expect(readFileSync(join(ROOT, 'docker/temporal/schema.sh'), 'utf8')).toContain(
      `\nsql ${pathname.slice(1)} create-database\n`,
    );
  });

  it('has room in Postgres for all that Temporal, an API and two workers open', () => {
    const most = /^max_connections=(\d+)$/.exec(compose.services['postgres']?.command?.at(-1) ?? '')?.[1];
    expect(Number(most)).toBeGreaterThan(4 * (20 + 10) + 15 + 2 * 5);
  });

  it('runs the server and makes its tables by one version', () => {
    const versions = ['temporal', 'temporal-schema'].map((name) =>
      compose.services[name]?.image?.split(':').slice(1),
    );
    expect(versions[0]).toEqual(['${TEMPORAL_VERSION', expect.stringMatching(/^-1\.\d+\.\d+\}$/)]);
    expect(versions[1]).toEqual(versions[0]);
  });

  it('keeps workers and databases where nothing leads in or out', () => {
    for (const name of ['worker', 'temporal', 'postgres', 'model']) {
      expect(compose.services[name]?.networks).toEqual(['inside']);
    }
    expect(compose.networks['inside']).toEqual({ internal: true });
  });

  it('sets only what the code reads', () => {
    const source = readFileSync(join(ROOT, 'src/config.ts'), 'utf8');
    const names = ours.flatMap(([, { environment = {} }]) => Object.keys(environment));
    expect(names).toContain('DROVER_PROXY_URL');
    expect([...new Set(names)].filter((name) => !source.includes(`'${name}'`))).toEqual([]);
  });

  it('refers to services, volumes and files that are there', () => {
    for (const [, { depends_on = {}, volumes = [] }] of services) {
      expect(Object.keys(depends_on).filter((name) => compose.services[name] === undefined)).toEqual([]);
      const sources = volumes.map((volume) => volume.split(':')[0] ?? '');
      expect(sources.filter((source) => !isThere(source))).toEqual([]);
    }
  });
});

describe('docker/temporal', () => {
  it('tells the server in containers what the embedded one is told', () => {
    const file = parseYaml('docker/temporal/dynamicconfig.yaml') as Record<
      string,
      readonly { value: unknown }[]
    >;
    expect(Object.fromEntries(Object.entries(file).map(([key, [first]]) => [key, first?.value]))).toEqual(
      DYNAMIC_CONFIG,
    );
  });

  it('prepares all databases with commands that may be repeated', () => {
    const folder = mkdtempSync(join(tmpdir(), 'drover-schema-'));
    writeFileSync(join(folder, 'temporal-sql-tool'), '#!/bin/sh\necho "$@"\n', { mode: 0o755 });
    const env = {
      POSTGRES_SEEDS: 'db',
      POSTGRES_USER: 'me',
      SQL_PASSWORD: 'secret',
      PATH: `${folder}:/usr/bin:/bin`,
    };
    const said = execFileSync('sh', [join(ROOT, 'docker/temporal/schema.sh')], { env, encoding: 'utf8' });
    rmSync(folder, { recursive: true });
    expect(
      said
        .trim()
        .split('\n')
        .map((line) => line.replace(/^.*--database /, '')),
    ).toEqual([
      'temporal create-database',
      'temporal setup-schema --version 0.0',
      'temporal update-schema --schema-name postgresql/v12/temporal',
      'temporal_visibility create-database',
      'temporal_visibility setup-schema --version 0.0',
      'temporal_visibility update-schema --schema-name postgresql/v12/visibility',
      'drover create-database',
    ]);
    expect(said).not.toContain('secret');
  });
});

describe('Dockerfile', () => {
  it('copies only what .dockerignore lets through', () => {
    const ignore = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n');
    const allowed = new Set(ignore.filter((line) => line.startsWith('!')).map((line) => line.slice(1)));
    const copied = readFileSync(join(ROOT, 'Dockerfile'), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
      .flatMap((line) => line.split(/\s+/).slice(1, -1));
    expect(copied.length).toBeGreaterThan(5);
    expect(copied.filter((path) => !allowed.has(path))).toEqual([]);
    expect(copied.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});

function isCommand(name: string | undefined): boolean {
  return name !== undefined && Object.hasOwn(COMMANDS, name);
}

/** A path of the host, a file of ours, or a volume. */
function isThere(source: string): boolean {
  if (source.startsWith('/')) return true;
  return source.startsWith('./') ? existsSync(join(ROOT, source)) : Object.hasOwn(compose.volumes, source);
}
