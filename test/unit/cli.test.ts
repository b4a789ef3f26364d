import { createServer } from 'node:http';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.ts';
import {
  ConfigError,
  readConfig,
  readModelConfig,
  readProxyConfig,
  readRoleConfig,
} from '../../src/config.ts';
import { eventually, run } from '../support/process.ts';

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drover-cli-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function drover(args: readonly string[], env: Record<string, string> = {}) {
  const running = run([CLI, ...args], { DROVER_DATA_DIR: folder, ...env });
  const code = await running.ended;
  return { code, stdout: running.stdout(), stderr: running.stderr() };
}

describe('drover', () => {
  it('lists its commands, less those that are not for people', async () => {
    const { code, stdout } = await drover(['--help']);
    expect(code).toBe(0);
    for (const [name, { hidden }] of Object.entries(COMMANDS)) {
      expect(new RegExp(`^  ${name} `, 'm').test(stdout)).toBe(hidden !== true);
    }
  });

  it('explains one command', async () => {
    const { code, stdout } = await drover(['make-secret', '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('usage: drover make-secret <file>');
  });

  it.each([
    [['dance'], 'unknown command "dance"'],
    [['toString'], 'unknown command "toString"'],
    [[], 'a command is missing'],
    [['start', '--frobnicate'], "Unknown option '--frobnicate'"],
    [['make-secret'], 'usage: drover make-secret <file>'],
    [['start', '--port', 'many'], 'PORT: expected a whole number'],
    [['setup-temporal'], 'TEMPORAL_ADDRESS: not set'],
    [['worker'], 'TEMPORAL_ADDRESS: not set'],
    [['session'], 'unknown command "session"'],
    [['session', 'dance'], 'unknown command "session"'],
    [['session', 'move', 'sesn_1'], 'usage: drover session move <id> --to <engine>'],
    [['session', 'move', '--to', 'log'], 'usage: drover session move <id> --to <engine>'],
    [['session', 'move', 'sesn_1', '--to', 'log', '--url', 'nowhere'], '--url: expected a URL'],
    [['health', '--to', 'log'], 'usage: drover health'],
  ])('ends with code 2 and words after %j', async (args, words) => {
    const { code, stdout, stderr } = await drover(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain(words);
    expect(stderr).not.toContain('    at ');
  });

  it('names a bad setting in one line', async () => {
    const { code, stderr } = await drover(['start'], { DROVER_WORKERS: 'some' });
    expect(code).toBe(2);
    expect(stderr).toBe('drover: DROVER_WORKERS: expected a whole number of at least 1, got "some"\n');
  });

  it('makes a secret once', async () => {
    const file = join(folder, 'secret');
    expect((await drover(['make-secret', file])).code).toBe(0);
    const made = readFileSync(file, 'utf8');
    expect((await drover(['make-secret', file])).code).toBe(0);
    expect(readFileSync(file, 'utf8')).toBe(made);
  });

  it('asks for the health of the API', async () => {
    let status = 200;
    const server = createServer((request, response) => {
      response.writeHead(request.url === '/healthz' ? status : 404).end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    try {
      expect(await drover(['health', '--port', String(port)])).toMatchObject({ code: 0, stdout: 'ok\n' });
      status = 503;
      expect(await drover(['health', '--port', String(port)])).toMatchObject({ code: 1 });
    } finally {
      server.closeAllConnections();
      server.close();
    }
    expect((await drover(['health', '--port', String(port)])).code).toBe(1);
  });

  it('has a session move, and says what became of it', async () => {
    const asked: { path: string | undefined; key: unknown; body: string }[] = [];
    let answer: [number, object] = [200, { engine: 'log', moving_to: null }];
    const server = createServer((request, response) => {
      void (async () => {
        let body = '';
        for await (const chunk of request) body += String(chunk);
        asked.push({ path: request.url, key: request.headers['x-api-key'], body });
        response.writeHead(answer[0]).end(JSON.stringify(answer[1]));
      })();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const move = ['session', 'move', 'sesn_1', '--to', 'log'];
    try {
      expect(await drover([...move, '--port', String(port)])).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('no API key'),
      });
      writeFileSync(join(folder, 'api-key'), 'from-the-file\n');
      expect(await drover([...move, '--port', String(port)])).toMatchObject({
        code: 0,
        stdout: 'sesn_1 lives on the log engine\n',
      });
      answer = [202, { engine: 'temporal', moving_to: 'log' }];
      const elsewhere = [...move, '--url', `http://127.0.0.1:${port}`];
      expect(await drover(elsewhere, { DROVER_API_KEY: 'given' })).toMatchObject({
        code: 0,
        stdout: 'sesn_1 moves to the log engine as soon as its turn is over\n',
      });
      answer = [400, { error: { message: 'to: not here' } }];
      expect(await drover(elsewhere)).toMatchObject({ code: 1, stderr: 'drover: to: not here\n' });
      const path = '/v1/x/sessions/sesn_1/move';
      const body = '{"to":"log"}';
      expect(asked).toEqual(['from-the-file', 'given', 'from-the-file'].map((key) => ({ path, key, body })));
    } finally {
      server.closeAllConnections();
      server.close();
    }
    expect(await drover(move.concat('--port', String(port)))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no server answers at http://127.0.0.1:'),
    });
  });

  it.each([
    [
      { state: 'snapshot', snapshot: 'f'.repeat(64), bytes: 5, added_bytes: 120 },
      'as it was there, 5 bytes (snapshot ffffffffffff…, 120 bytes kept for it)',
    ],
    [{ state: 'empty', reason: 'no sandbox was used' }, 'empty, as it was there: no sandbox was used'],
    [
      { state: 'none', reason: 'a call was under way' },
      'empty, because what it was there is not known: a call was under way',
    ],
  ])('says of a fork with which files it begins: %j', async (workspace, says) => {
    const bodies: string[] = [];
    const server = createServer((request, response) => {
      request.on('data', (chunk: Buffer) => bodies.push(chunk.toString()));
      request.on('end', () => response.end(JSON.stringify({ id: 'sesn_2', position: 7, workspace })));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const fork = ['fork', 'sesn_1', '--position', '7', '--port', String(port)];
    try {
      expect(await drover(fork, { DROVER_API_KEY: 'given' })).toMatchObject({
        code: 0,
        stdout: `sesn_2 has the log of sesn_1 up to position 7\nits workspace: ${says}\n`,
      });
      expect(bodies).toEqual(['{"position":7}']);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('runs a role alone until it is told to stop', async () => {
    const running = run([CLI, 'model'], { DROVER_DATA_DIR: folder, DROVER_MODEL_PORT: '0' });
    const port = await eventually('ready', () => /ready \{"port":(\d+)\}/.exec(running.stderr())?.[1]);
    expect((await fetch(`http://127.0.0.1:${port}/v1/models`)).status).not.toBe(404);
    running.child.kill('SIGTERM');
    expect(await running.ended).toBe(0);
  });
});

describe('settings of roles', () => {
  const told = () => ({
    TEMPORAL_ADDRESS: '127.0.0.1:7233',
    DROVER_PROXY_URL: 'http://127.0.0.1:1',
    DROVER_PROXY_SECRET_FILE: join(folder, 'secret'),
    DROVER_BUS: 'unix:/run/bus.sock',
    ANTHROPIC_API_KEY: 'upstream',
  });

  beforeEach(() => writeFileSync(join(folder, 'secret'), ' shared \n'));

  it('read the shared secret from its file, and leave the upstream key out of all but the proxy', () => {
    const role = readRoleConfig(told());
    expect(role.proxy).toEqual({ url: 'http://127.0.0.1:1', tokenSecret: 'shared' });
    expect(JSON.stringify(role)).not.toContain('upstream');
    const proxy = readProxyConfig({ ...told(), DROVER_PROXY_PORT: '9' });
    expect(proxy).toMatchObject({ port: 9, tokenSecret: 'shared', upstream: { apiKey: 'upstream' } });
    expect(readModelConfig({ DROVER_MODEL_PORT: '10' })).toEqual({ host: '127.0.0.1', port: 10 });
  });

  it('read where the bus is, in either form', () => {
    expect(readRoleConfig(told()).bus).toEqual({ path: '/run/bus.sock' });
    expect(readRoleConfig({ ...told(), DROVER_BUS: 'tcp://api:8788' }).bus).toEqual({
      host: 'api',
      port: 8788,
    });
    expect(() => readRoleConfig({ ...told(), DROVER_BUS: 'api:8788' })).toThrow(ConfigError);
  });

  it.each(['TEMPORAL_ADDRESS', 'DROVER_PROXY_URL', 'DROVER_PROXY_SECRET_FILE', 'DROVER_BUS'])(
    'are refused without %s',
    (name) => {
      expect(() => readRoleConfig({ ...told(), [name]: '' })).toThrow(`${name}: not set`);
    },
  );

  it('read where the database is, and have previews pass through a Postgres', () => {
    const path = join(folder, 'drover.db');
    expect(readConfig({ DROVER_DATA_DIR: folder }).database).toEqual({ kind: 'sqlite', path });
    const { DROVER_BUS: _, ...rest } = told();
    for (const url of ['postgres://u:p@h:5432/d', 'postgresql://h/d', 'postgres:///d?host=/run/postgresql']) {
      writeFileSync(join(folder, 'url'), `${url}\n`);
      for (const set of [{ DATABASE_URL: url }, { DATABASE_URL_FILE: join(folder, 'url') }]) {
        expect(readRoleConfig({ ...rest, ...set })).toMatchObject({
          database: { kind: 'postgres', url },
          bus: { url },
        });
      }
    }
  });

  it('read the API key from a file, unless it is given', () => {
    const file = { DROVER_API_KEY_FILE: join(folder, 'secret') };
    expect(readConfig(file).apiKey).toBe('shared');
    expect(readConfig({ ...file, DROVER_API_KEY: 'given' }).apiKey).toBe('given');
    expect(() => readConfig({ DROVER_API_KEY_FILE: join(folder, 'none') })).toThrow(
      'DROVER_API_KEY_FILE: cannot read',
    );
  });

  it.each([
    [{ DATABASE_URL: 'mysql://u:hidden@h/d' }, 'DATABASE_URL: expected a URL'],
    [{ DATABASE_URL: 'postgres://u:hidden@h:no-port/d' }, 'DATABASE_URL: expected a URL'],
    [{ DATABASE_URL: 'hidden' }, 'DATABASE_URL: expected a URL'],
    [{ DROVER_ENGINE: 'steam' }, 'DROVER_ENGINE: expected one of'],
    [{ PORT: '70000' }, 'PORT: 70000 is no port'],
    [{ ANTHROPIC_BASE_URL: 'ftp://u:hidden@h' }, 'ANTHROPIC_BASE_URL: expected a URL'],
  ])('say what cannot be done: %j', (env, words) => {
    expect(() => readConfig(env)).toThrow(words);
    expect(() => readConfig(env)).not.toThrow('hidden');
  });
});
