import { sql, type Kysely } from 'kysely';
import { textType } from '../dialect.ts';

/** Keys, agents and their versions, environments, sessions. */
export async function controlPlane(db: Kysely<unknown>): Promise<void> {
  const text = textType(db);
  await db.schema
    .createTable('api_keys')
    .addColumn('hash', text, (column) => column.primaryKey())
    .addColumn('workspace_id', text, (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('agents')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('workspace_id', text, (column) => column.notNull())
    .addColumn('version', 'bigint', (column) => column.notNull())
    .addColumn('created_at', text, (column) => column.notNull())
    .addColumn('archived_at', text)
    .execute();
  await db.schema
    .createTable('agent_versions')
    .addColumn('agent_id', text, (column) => column.notNull().references('agents.id'))
    .addColumn('workspace_id', text, (column) => column.notNull())
    .addColumn('version', 'bigint', (column) => column.notNull())
    .addColumn('data', text, (column) => column.notNull())
    .addPrimaryKeyConstraint('agent_versions_pk', ['agent_id', 'version'])
    .execute();
  await db.schema
    .createTable('environments')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('workspace_id', text, (column) => column.notNull())
    .addColumn('name', text, (column) => column.notNull())
    .addColumn('created_at', text, (column) => column.notNull())
    .addColumn('archived_at', text)
    .addColumn('data', text, (column) => column.notNull())
    .addUniqueConstraint('environments_name', ['workspace_id', 'name'])
    .execute();
  await createSessions(db);
  const lists = ['agents', 'environments', 'sessions'];
  for (const table of lists) {
    await sql`create index ${sql.ref(`${table}_list`)} on ${sql.table(table)} (workspace_id, created_at, id)`.execute(
      db,
    );
  }
}

async function createSessions(db: Kysely<unknown>): Promise<void> {
  const text = textType(db);
  await db.schema
    .createTable('sessions')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('workspace_id', text, (column) => column.notNull())
    .addColumn('agent_id', text, (column) => column.notNull())
    .addColumn('agent_version', 'bigint', (column) => column.notNull())
    .addColumn('environment_id', text, (column) => column.notNull().references('environments.id'))
    .addColumn('deployment_id', text)
    .addColumn('created_at', text, (column) => column.notNull())
    .addColumn('archived_at', text)
    .addColumn('state', text, (column) => column.notNull())
    .addForeignKeyConstraint('sessions_agent', ['agent_id', 'agent_version'], 'agent_versions', [
      'agent_id',
      'version',
    ])
    .execute();
  await db.schema.createIndex('sessions_environment').on('sessions').column('environment_id').execute();
  await db.schema
    .createIndex('sessions_agent')
    .on('sessions')
    .columns(['agent_id', 'agent_version'])
    .execute();
  await db.schema.createIndex('sessions_state').on('sessions').columns(['state', 'created_at']).execute();
}
