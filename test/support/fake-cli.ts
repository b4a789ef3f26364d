/**
 * Stands in for `src/cli.ts` under a real supervisor: small roles that report what they were told. What they do
 * beyond that is steered by DROVER_FAKE_* variables, which the supervisor passes on as it does with any of ours.
 */
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { ConfigError } from '../../src/config.ts';
import { serveRole } from '../../src/supervisor/role.ts';

const role = process.argv[2] ?? '';
const { env } = process;

/** Notes what happened, in order, across processes. */
function note(what: string): void {
  if (env['DROVER_FAKE_JOURNAL'] !== undefined)
    appendFileSync(env['DROVER_FAKE_JOURNAL'], `${what} ${role}\n`);
}

async function listen(port: number) {
  const server = createServer((_request, response) => response.end('{}'));
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const portVariable: Record<string, string> = {
  api: 'PORT',
  proxy: 'DROVER_PROXY_PORT',
  model: 'DROVER_MODEL_PORT',
};

try {
  await serveRole(role, async () => {
    if (env['DROVER_FAKE_BROKEN'] === role) throw new ConfigError(`${role} is broken on purpose`);
    if (env['DROVER_FAKE_SLOW'] === role) await new Promise((resolve) => setTimeout(resolve, 60_000));
    const variable = portVariable[role];
    const server = variable === undefined ? undefined : await listen(Number(env[variable]));
    const idle = setInterval(() => undefined, 1000);
    console.log(`hello from ${role}`);
    console.error(JSON.stringify({ time: '', level: 'info', role, message: 'everyday news' }));
    note('ready');
    return {
      info: server === undefined ? {} : { port: (server.address() as AddressInfo).port },
      async close() {
        note('closed');
        clearInterval(idle);
        server?.closeAllConnections();
        server?.close();
      },
    };
  });
} catch (error) {
  console.error(String(error));
  process.exit(error instanceof ConfigError ? 2 : 1);
}
