/** Containers of hands: how they are made, and how the daemon's answers read. */
import type Dockerode from 'dockerode';
import { createHash } from 'node:crypto';
import type { HandSpec } from '../../hands.ts';
import { RUNNER_COMMAND } from '../runner/places.ts';

/** What a hand may use up. */
export interface Limits {
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly processes: number;
}

/** Labels by which hands are found again. */
export const LABEL = { hand: 'drover.hand', key: 'drover.key', owner: 'drover.owner' } as const;

/** Whoever tools run as in a container, whatever the image says. */
const USER = '1000:1000';

/** One name for one key, so that two workers that provision at once cannot make two containers. */
export function toContainerName(owner: string, key: string): string {
  return `drover-hand-${createHash('sha256').update(`${owner}\0${key}`).digest('hex').slice(0, 24)}`;
}

/** What the daemon is asked for. */
export function toCreateOptions(
  place: { readonly image: string; readonly owner: string; readonly key: string },
  spec: HandSpec,
  limits: Limits,
): Dockerode.ContainerCreateOptions {
  const name = toContainerName(place.owner, place.key);
  return {
    name,
    Image: place.image,
    Entrypoint: [...RUNNER_COMMAND],
    Cmd: ['serve', '--alone'],
    User: USER,
    WorkingDir: '/workspace',
    Hostname: 'sandbox',
    Labels: { [LABEL.hand]: name, [LABEL.key]: place.key, [LABEL.owner]: place.owner },
    HostConfig: {
      NetworkMode: spec.network === 'open' ? 'bridge' : 'none',
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      Memory: limits.memoryBytes,
      // The same again means: no swap on top.
      MemorySwap: limits.memoryBytes,
      NanoCpus: Math.round(limits.cpus * 1e9),
      PidsLimit: limits.processes,
      Ulimits: [{ Name: 'core', Soft: 0, Hard: 0 }],
      Init: true,
      LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '1' } },
    },
  };
}

/** Reads a container's state as a cause of death; undefined while it runs. */
export function explain(
  info: Pick<Dockerode.ContainerInspectInfo, 'State' | 'HostConfig'>,
): string | undefined {
  const { Running, Paused, OOMKilled, ExitCode, Error: trouble } = info.State;
  if (Running && Paused) return 'The sandbox is paused: somebody stopped its container with `docker pause`.';
  if (Running) return undefined;
  if (OOMKilled)
    return `The sandbox ran out of memory (limit ${toMebibytes(info.HostConfig.Memory)}) and was killed.`;
  if (ExitCode === 137) return 'The sandbox died: its container was killed (SIGKILL).';
  if (ExitCode === 143) return 'The sandbox died: its container was stopped (SIGTERM).';
  return `The sandbox died: its container ended with code ${ExitCode}${trouble === '' ? '' : ` (${trouble})`}.`;
}

/** The HTTP status of a failed request to the daemon; undefined where there was no answer. */
export function toStatus(error: unknown): number | undefined {
  const status = (error as { statusCode?: unknown } | undefined)?.statusCode;
  return typeof status === 'number' ? status : undefined;
}

/** An error's message in one line. */
export function toMessage(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim();
}

function toMebibytes(bytes: number | undefined): string {
  return bytes === undefined || bytes === 0 ? 'of the machine' : `${Math.round(bytes / 2 ** 20)} MiB`;
}
