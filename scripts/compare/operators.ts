/** What an operator can see and do with each engine. Written by hand; nothing here is measured. */

/** One row: the question, and the answer for each. */
export interface OperatorRow {
  readonly what: string;
  readonly none: string;
  readonly temporal: string;
  readonly log: string;
}

/** The table. */
export const OPERATOR_ROWS: readonly OperatorRow[] = [
  {
    what: 'What must run beside Drover',
    none: 'nothing',
    temporal: 'a Temporal server: started by `npm start`, or one of your own, with its database',
    log: 'nothing, or Postgres',
  },
  {
    what: 'Looking into a session',
    none: 'a debugger',
    temporal: 'the API; Temporal’s UI and CLI: every step, its input, result, attempts and times',
    log: 'the API; SQL: `log_carriers` has a row for each durable write, `log_heads` one for each session',
  },
  {
    what: 'What is running now',
    none: '–',
    temporal: 'pending activities of each workflow, with attempt, last heartbeat and last failure',
    log: '`log_heads`: who holds the lease of a session, its epoch, whether anything is due; `harnesses`: who was last heard of when',
  },
  {
    what: 'Finding sessions',
    none: '–',
    temporal:
      'the API; visibility queries by status, agent, environment, workspace and model (search attributes)',
    log: 'the API; any SQL query',
  },
  {
    what: 'Taking a session away from a process that hangs',
    none: 'kill it, and lose the session',
    temporal: 'heartbeat timeouts of 5 s do it; a person can also kill the worker',
    log: 'silence of 1.5 s does it; a person can also kill the worker; what the old one still writes is refused by its epoch',
  },
  {
    what: 'Changing the code under sessions that are open',
    none: 'ends them',
    temporal:
      'workflow code must replay: tests replay stored histories against it; brain, hands and API are free',
    log: 'free: nothing is replayed but the pure fold over the log',
  },
  {
    what: 'How long a session can get',
    none: 'as long as its process lives',
    temporal:
      'no limit: from 1,500 history events on it goes on in another run, and runs that are over go into an archive',
    log: 'no limit of the engine’s',
  },
  {
    what: 'Scaling out',
    none: 'none',
    temporal: 'more workers; a Temporal cluster; shards of the history service',
    log: 'more workers; the database is the limit',
  },
  {
    what: 'Backup while it runs',
    none: 'none',
    temporal: 'that of Temporal’s database, which must fit Drover’s records in time; none for SQLite',
    log: 'one database: that of Postgres; none for SQLite',
  },
  {
    what: 'Metrics and alerts that exist already',
    none: 'none',
    temporal: 'Temporal’s own for Prometheus, once they are switched on: backlogs, latencies, failures',
    log: 'those of the database; the rest is SQL of your own',
  },
];
