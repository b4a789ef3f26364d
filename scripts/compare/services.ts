/** Servers that a candidate needs beside its own processes: started for it alone, durable as they come. */
import { startPostgres, type PostgresServer } from '../postgres.ts';
import { startTemporalOnPostgres } from '../temporal-on-postgres.ts';

/** What there is. */
export type ServiceName = 'postgres' | 'temporal';

/** One server that runs. */
export interface Service {
  readonly name: ServiceName;
  /** The setting by which Drover finds it. */
  readonly env: Readonly<Record<string, string>>;
  pid(): number;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again after `kill`; resolves when it serves. */
  restart(): Promise<void>;
}

/** Starts them in order; `held` stops them in reverse. */
export async function startServices(
  names: readonly ServiceName[],
  held: AsyncDisposableStack,
): Promise<Service[]> {
  const services: Service[] = [];
  let postgres: PostgresServer | undefined;
  for (const name of names) {
    if (name === 'postgres') {
      const server = await startPostgres();
      held.defer(async () => await server.stop());
      postgres = server;
      const url = await server.createDatabase();
      services.push({
        name,
        env: { DATABASE_URL: url },
        pid: () => server.pid,
        kill: () => server.kill(),
        restart: () => server.restart(),
      });
    } else {
      if (postgres === undefined) throw new Error('a Temporal server needs Postgres before it');
      const server = await startTemporalOnPostgres(postgres);
      held.defer(async () => await server.stop());
      services.push({
        name,
        env: { TEMPORAL_ADDRESS: server.address },
        pid: () => server.pid,
        kill: () => server.kill(),
        restart: () => server.restart(),
      });
    }
  }
  return services;
}

/** The URL of the service's database; undefined where there is none. */
export function databaseUrl(services: readonly Service[]): string | undefined {
  return services.find(({ name }) => name === 'postgres')?.env['DATABASE_URL'];
}
