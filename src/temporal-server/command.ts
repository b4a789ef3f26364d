/** The commands about Temporal: the embedded server alone, and preparing one that runs elsewhere. */
import process from 'node:process';
import { ConfigError, type Config } from '../config.ts';
import type { Role } from '../supervisor/role.ts';
import { startTemporal } from './server.ts';
import { setUpTemporal } from './set-up.ts';

/** Runs and prepares the embedded server on the data dir. */
export async function runTemporal({ dataDir, temporal }: Config, signal: AbortSignal): Promise<Role> {
  const server = await startTemporal({ dataDir, signal, log: say });
  await setUpTemporal({ address: server.address, namespace: temporal.namespace });
  say(`Temporal: ${server.address}, UI: ${server.uiUrl}`);
  return { close: async () => await server.stop() };
}

/** Prepares the server that the configuration names. */
export async function prepareTemporal({ temporal: { address, namespace } }: Config): Promise<void> {
  if (address === undefined) throw new ConfigError('TEMPORAL_ADDRESS: not set, and this command needs it');
  await setUpTemporal({ address, namespace });
  say(`Temporal at ${address} is ready: namespace ${namespace}`);
}

function say(line: string): void {
  process.stderr.write(`drover: ${line}\n`);
}
