import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openRecords } from '../../src/records/open.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drover-records-'));
  path = join(folder, 'records.db');
});

afterEach(() => rm(folder, { recursive: true }));

it('uses WAL', async () => {
  const records = await openRecords({ kind: 'sqlite', path });
  const database = new DatabaseSync(path);
  expect(database.prepare('pragma journal_mode').get()).toMatchObject({ journal_mode: 'wal' });
  database.close();
  await records.close();
});

it('waits for another connection that holds the file', async () => {
  const holder = new DatabaseSync(path);
  holder.exec('create table held (x); begin exclusive');
  const opening = openRecords({ kind: 'sqlite', path });
  holder.exec('commit');
  holder.close();
  const records = await opening;
  expect(records).toHaveProperty('agents');
  await records.close();
});
