/**
 * The commands. Each loads only what it needs, when it runs: a process cannot leak what it never loaded, and starts
 * sooner.
 */
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { readConfig, readModelConfig, readProxyConfig, readRoleConfig } from '../config.ts';
import { createLogger } from '../log-line.ts';
import { serveRole } from '../supervisor/role.ts';

/** What a command gets. */
export interface Invocation {
  readonly operands: readonly string[];
  readonly options: Readonly<Record<string, string | undefined>>;
  /** The environment, with what the command line sets otherwise. */
  readonly env: NodeJS.ProcessEnv;
}

/** An option of a command. */
export interface CommandOption {
  /** What the value is, in a word. */
  readonly value: string;
  readonly isRequired?: true;
}

/** One command. */
export interface Command {
  readonly summary: string;
  /** The names of what must follow the command. */
  readonly operands?: readonly string[];
  /** Its own options; each has one value. */
  readonly options?: Readonly<Record<string, CommandOption>>;
  /** Not for people. */
  readonly hidden?: true;
  readonly run: (invocation: Invocation) => Promise<void>;
}

/** The commands by name. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  start: {
    summary: 'run a whole server: Temporal where none is named, proxy, workers, API',
    async run({ env }) {
      const { runStart } = await import('../supervisor/command.ts');
      await runStart(env, fileURLToPath(new URL('../cli.ts', import.meta.url)));
    },
  },
  api: {
    summary: 'run the API alone',
    async run({ env }) {
      await serveRole('api', async () => {
        const config = readRoleConfig(env);
        const { runApi } = await import('../api.ts');
        return await runApi(config);
      });
    },
  },
  worker: {
    summary: 'run one worker alone',
    async run({ env }) {
      await serveRole('worker', async () => {
        const config = readRoleConfig(env);
        const { runWorker } = await import('../worker.ts');
        return await runWorker(config);
      });
    },
  },
  proxy: {
    summary: 'run the credential proxy alone',
    async run({ env }) {
      await serveRole('proxy', async () => {
        const config = readProxyConfig(env);
        const { runProxy } = await import('../proxy.ts');
        const proxy = await runProxy(config);
        return { info: { port: proxy.port }, close: async () => await proxy.close() };
      });
    },
  },
  model: {
    summary: 'run the scripted model alone',
    async run({ env }) {
      await serveRole('model', async () => {
        const config = readModelConfig(env);
        const { serveModel } = await import('../model/serve.ts');
        const served = await serveModel({ ...config, log: createLogger('model') });
        return { info: { port: served.port }, close: async () => await served.close() };
      });
    },
  },
  temporal: {
    summary: 'run the embedded Temporal server alone',
    async run({ env }) {
      await serveRole('temporal', async (signal) => {
        const { runTemporal } = await import('../temporal-server/command.ts');
        return await runTemporal(readConfig(env), signal);
      });
    },
  },
  'setup-temporal': {
    summary: 'prepare the Temporal server at TEMPORAL_ADDRESS: namespace, search attributes',
    async run({ env }) {
      const { prepareTemporal } = await import('../temporal-server/command.ts');
      await prepareTemporal(readConfig(env));
    },
  },
  'make-secret': {
    summary: 'make the file with the secret that API, workers and proxy share, unless it is there',
    operands: ['file'],
    async run({ operands: [file = ''] }) {
      const { ensureSecretFile } = await import('../supervisor/secret-file.ts');
      await ensureSecretFile(file);
    },
  },
  health: {
    summary: 'ask the API on this machine whether it is well; fails when it is not',
    async run({ env }) {
      const url = `http://127.0.0.1:${readConfig(env).port}/healthz`;
      const answer = await fetch(url, { signal: AbortSignal.timeout(3000) });
      if (!answer.ok) throw new Error(`${url} answers ${answer.status}`);
      process.stdout.write('ok\n');
    },
  },
  'session move': {
    summary: 'move a session to another engine, log or temporal; the server goes on meanwhile',
    operands: ['id'],
    options: { to: { value: 'engine', isRequired: true }, url: { value: 'address' } },
    async run({ operands: [id = ''], options: { to = '', url }, env }) {
      const { moveSession } = await import('./session.ts');
      await moveSession({ id, to, url, env });
    },
  },
  wake: {
    summary: 'put a session back to work, also one whose workflow was stopped from outside',
    operands: ['id'],
    options: { url: { value: 'address' } },
    async run({ operands: [id = ''], options: { url }, env }) {
      const { wakeSession } = await import('./session.ts');
      await wakeSession({ id, url, env });
    },
  },
  verify: {
    summary: "check a session's log against its digests and the histories; fails when it is damaged",
    operands: ['id'],
    options: { url: { value: 'address' } },
    async run({ operands: [id = ''], options: { url }, env }) {
      const { verifySession } = await import('./session.ts');
      await verifySession({ id, url, env });
    },
  },
  fork: {
    summary: "make another session of a session's log up to a position",
    operands: ['id'],
    options: { position: { value: 'number' }, url: { value: 'address' } },
    async run({ operands: [id = ''], options: { position, url }, env }) {
      const { forkSession } = await import('./session.ts');
      await forkSession({ id, url, env, ...(position !== undefined && { position }) });
    },
  },
  export: {
    summary: 'write a session, with its agent and its environment, into a file',
    operands: ['id'],
    options: { to: { value: 'file' }, url: { value: 'address' } },
    async run({ operands: [id = ''], options: { to, url }, env }) {
      const { exportSession } = await import('./session.ts');
      await exportSession({ id, url, env, ...(to !== undefined && { to }) });
    },
  },
  import: {
    summary: 'take a session in from a file that export has written',
    operands: ['file'],
    options: { url: { value: 'address' } },
    async run({ operands: [file = ''], options: { url }, env }) {
      const { importSession } = await import('./session.ts');
      await importSession({ file, url, env });
    },
  },
  replay: {
    summary: "replay a session's histories, or a file of one, against this version's workflow code",
    operands: ['session-or-file'],
    async run({ operands: [what = ''], env }) {
      const { replay } = await import('./replay.ts');
      await replay({ what, env });
    },
  },
  'download-temporal': {
    summary: 'download the Temporal program into a folder',
    operands: ['folder'],
    hidden: true,
    async run({ operands: [folder = ''] }) {
      const { downloadWithSdk } = await import('../temporal-server/sdk-download.ts');
      await downloadWithSdk(folder);
    },
  },
};
