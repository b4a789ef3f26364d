/** What is compared: the runtimes as a user can have them, each with the settings that the documentation names. */
import type { OutageName } from './outages.ts';
import type { ServiceName } from './services.ts';

/** The names of the candidates, in the order of every table. */
export const CANDIDATE_NAMES = [
  'in-process',
  'temporal-sqlite',
  'temporal-postgres',
  'log-sqlite',
  'log-postgres',
] as const;

/** A candidate's name: for the command line and the JSON. */
export type CandidateName = (typeof CANDIDATE_NAMES)[number];

/** One runtime. */
export interface Candidate {
  readonly name: CandidateName;
  /** For people. */
  readonly title: string;
  readonly engine: 'none' | 'temporal' | 'log';
  /** Settings of `npm start`; undefined: there is no server. */
  readonly env: Readonly<Record<string, string>> | undefined;
  /** Servers that run beside it; each adds the setting by which it is found. */
  readonly services: readonly ServiceName[];
  /** What can be taken away from it while it runs. */
  readonly outages: readonly OutageName[];
  /** For the page: which processes belong to it, and where what it keeps is. */
  readonly processes: string;
  readonly keeps: string;
}

const OWN_PROCESSES = 'supervisor, api, worker, proxy';

/** All of them. */
export const CANDIDATES: Readonly<Record<CandidateName, Candidate>> = {
  'in-process': {
    name: 'in-process',
    title: 'in process',
    engine: 'none',
    env: undefined,
    services: [],
    outages: [],
    processes: 'one program',
    keeps: 'nothing: the conversation is an array',
  },
  'temporal-sqlite': {
    name: 'temporal-sqlite',
    title: 'Temporal, SQLite',
    engine: 'temporal',
    env: { DROVER_ENGINE: 'temporal' },
    services: [],
    outages: ['temporal', 'sqlite'],
    processes: `${OWN_PROCESSES}, temporal (started by the supervisor)`,
    keeps: '`temporal.db`, `drover.db`, `blobs/` in the data dir',
  },
  'temporal-postgres': {
    name: 'temporal-postgres',
    title: 'Temporal, Postgres',
    engine: 'temporal',
    env: { DROVER_ENGINE: 'temporal' },
    services: ['postgres', 'temporal'],
    outages: ['temporal', 'postgres'],
    processes: `${OWN_PROCESSES}; a Temporal server; a Postgres server`,
    keeps: "Temporal's two databases and Drover's in Postgres; `blobs/` in the data dir",
  },
  'log-sqlite': {
    name: 'log-sqlite',
    title: 'log, SQLite',
    engine: 'log',
    env: { DROVER_ENGINE: 'log' },
    services: [],
    outages: ['sqlite'],
    processes: OWN_PROCESSES,
    keeps: 'SQLite files and `blobs/` in the data dir',
  },
  'log-postgres': {
    name: 'log-postgres',
    title: 'log, Postgres',
    engine: 'log',
    env: { DROVER_ENGINE: 'log' },
    services: ['postgres'],
    outages: ['postgres'],
    processes: `${OWN_PROCESSES}; a Postgres server`,
    keeps: 'one database in Postgres; `blobs/` in the data dir',
  },
};
