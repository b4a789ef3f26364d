/** Makes the image of the sandboxes available and prints its reference. */
import Dockerode from 'dockerode';
import { dirname } from 'node:path';
import process from 'node:process';
import { readConfig, readToolPlaces } from '../src/config.ts';
import { ensureSandboxImage } from '../src/hands/docker/image.ts';

const reference = await ensureSandboxImage({
  docker: new Dockerode(),
  image: readConfig().sandboxImage,
  cacheDir: dirname(readToolPlaces().cacheDir),
  log: (line) => void process.stderr.write(`${line}\n`),
});
process.stdout.write(`${reference}\n`);
