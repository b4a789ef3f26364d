/**
 * Containers that were stopped on purpose, to be started again. What tells them from those that died is a file in the
 * container itself, which goes where the container goes. Only root can write where it is, and no tool runs as root.
 */
import type Dockerode from 'dockerode';
import type { PresentLife } from '../idle.ts';
import { packContext } from './build.ts';
import { toMessage, toStatus } from './container.ts';
import { openRelay } from './relay.ts';

/** Stops a container; its files stay. */
export async function suspend(docker: Dockerode, id: string, abortSignal: AbortSignal): Promise<void> {
  try {
    if ((await noteSuspension(docker, id, abortSignal)) === undefined) return;
    // The daemon answers when the container has ended.
    await docker.getContainer(id).kill({ abortSignal });
  } catch (error) {
    // Gone, or ended by itself.
    if (isGone(error)) return;
    throw new Error(`container ${id.slice(0, 12)} could not be suspended: ${toMessage(error)}`, {
      cause: error,
    });
  }
}

/**
 * Notes that the present life of a container is about to be ended on purpose, and answers which one it is; undefined
 * when none runs. The file names that life, so it need not be removed when another begins. Should the end not follow,
 * because whoever was about to bring it died, then a later death of the same life counts as a suspension too: nothing
 * is lost by that but a clearer message.
 */
async function noteSuspension(
  docker: Dockerode,
  id: string,
  abortSignal: AbortSignal,
): Promise<string | undefined> {
  const container = docker.getContainer(id);
  try {
    const { State } = await container.inspect({ abortSignal });
    if (!State.Running) return undefined;
    const note = packContext([], {
      [toNote(State.StartedAt)]: 'This sandbox was suspended: the next call that needs it starts it again.',
    });
    await container.putArchive(note, { path: '/', abortSignal });
    return State.StartedAt;
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** How `suspendIfIdle` gets at a container. */
export function presentLife(docker: Dockerode, id: string, abortSignal: AbortSignal): PresentLife {
  return {
    open: () =>
      openRelay(docker, id).catch((error: unknown) => {
        // The daemon answers, and has nothing to run the relay in.
        if (toStatus(error) === undefined) throw error;
        return undefined;
      }),
    note: () => noteSuspension(docker, id, abortSignal),
    async isOver(life) {
      try {
        const { State } = await docker.getContainer(id).inspect({ abortSignal });
        return !State.Running || State.StartedAt !== life;
      } catch (error) {
        if (isGone(error)) return true;
        throw error;
      }
    },
  };
}

/**
 * What is to be expected of a container whose runner cannot be reached. `stopped`: it is suspended, and can be started
 * again. `stopping`: it will be in a moment. `dead`: neither.
 */
export async function findRest(docker: Dockerode, id: string): Promise<'stopped' | 'stopping' | 'dead'> {
  const { State } = await docker.getContainer(id).inspect();
  if (!(await hasNote(docker, id, State.StartedAt))) return 'dead';
  return State.Running ? 'stopping' : 'stopped';
}

/** Whether the end of a container was a suspension. */
export async function isSuspended(
  docker: Dockerode,
  { Id, State }: Dockerode.ContainerInspectInfo,
): Promise<boolean> {
  if (State.Running || State.Status === 'created') return false;
  return hasNote(docker, Id, State.StartedAt);
}

async function hasNote(docker: Dockerode, id: string, startedAt: string): Promise<boolean> {
  try {
    await docker.getContainer(id).infoArchive({ path: `/${toNote(startedAt)}` });
    return true;
  } catch (error) {
    if (toStatus(error) === 404) return false;
    throw error;
  }
}

/** Removed, or no longer running. */
function isGone(error: unknown): boolean {
  return toStatus(error) === 404 || toStatus(error) === 409;
}

/** The moment of its start tells a life of a container from all others. */
function toNote(startedAt: string): string {
  return `.drover-suspended-${startedAt.replaceAll(/[^\d]/g, '')}`;
}
