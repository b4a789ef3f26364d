/** Copies the runner's files to the folder given: what `docker/sandbox/Dockerfile` puts into a sandbox image. */
import process from 'node:process';
import { findPayload, installPayload } from '../src/hands/payload.ts';

const folder = process.argv[2];
if (folder === undefined) {
  process.stderr.write('usage: install-runner.ts FOLDER\n');
  process.exit(64);
}
await installPayload(await findPayload(), folder);
