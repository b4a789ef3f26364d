/** What a comparison ran on. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { cpus, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import { ensureTemporalCli } from '../../src/temporal-server/cli.ts';
import { findPostgres } from '../postgres.ts';
import type { About } from './report.ts';

/** The facts of the machine. */
export async function describeMachine(): Promise<About['machine']> {
  const system = /^PRETTY_NAME="(?<name>[^"]+)"$/m.exec(
    await readFile('/etc/os-release', 'utf8').catch(() => ''),
  )?.groups?.['name'];
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: [system, `${type()} ${release()}`].filter(Boolean).join(', '),
  };
}

/** Versions of everything that figures may depend on. */
export async function describeVersions(): Promise<Readonly<Record<string, string>>> {
  const { dependencies } = JSON.parse(
    await readFile(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as { dependencies: Record<string, string> };
  const postgres = await findPostgres();
  const temporal = await ensureTemporalCli({ log: () => undefined }).catch(() => undefined);
  return {
    Node: process.versions.node,
    SQLite: process.versions['sqlite'] ?? 'unknown',
    Postgres: postgres === undefined ? 'none' : await firstLine(join(postgres, 'postgres'), ['--version']),
    Temporal: temporal === undefined ? 'none' : await firstLine(temporal, ['--version']),
    'Temporal SDK': dependencies['@temporalio/worker'] ?? '',
    'Anthropic SDK': dependencies['@anthropic-ai/sdk'] ?? '',
  };
}

/** The commit that is checked out, and whether anything was changed since. */
export async function describeCommit(): Promise<string> {
  const commit = await firstLine('git', ['rev-parse', '--short', 'HEAD']);
  const changes = await firstLine('git', ['status', '--porcelain', '--untracked-files=no']);
  return changes === '' ? commit : `${commit} with changes`;
}

async function firstLine(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, [...args]).catch(() => ({ stdout: 'unknown' }));
  return (stdout.split('\n')[0] ?? '').replace(/^(temporal version|postgres \(PostgreSQL\)) /, '').trim();
}
