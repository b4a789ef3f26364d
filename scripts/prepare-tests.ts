/**
 * Makes ready what the tests need and what takes minutes the first time: the Temporal program, a Temporal server for
 * Postgres where it can be built, a Docker daemon where one can be had, the sandbox image. Says what is going on; what cannot be had is said once more by the tests that skip.
 */
import Dockerode from 'dockerode';
import { dirname } from 'node:path';
import process from 'node:process';
import { readConfig, readToolPlaces } from '../src/config.ts';
import { ensureSandboxImage } from '../src/hands/docker/image.ts';
import { ensureTemporalCli } from '../src/temporal-server/cli.ts';
import { ensureDockerd } from './dockerd.ts';
import { whyNoTemporalOnPostgres } from './temporal-on-postgres.ts';

const log = (line: string): void => void process.stderr.write(`prepare: ${line}\n`);

await ensureTemporalCli({ log });
const noTemporal = await whyNoTemporalOnPostgres({ log });
if (noTemporal !== undefined) log(`${noTemporal}; tests with Temporal on Postgres are skipped`);
const problem = await ensureDockerd({ log });
if (problem === undefined) {
  const cacheDir = dirname(readToolPlaces().cacheDir);
  await ensureSandboxImage({ docker: new Dockerode(), image: readConfig().sandboxImage, cacheDir, log });
} else {
  log(`${problem}; tests with containers are skipped`);
}
