/**
 * Containers that were stopped on purpose, to be started again. What tells them from those that died is a file in the
 * container itself, which goes where the container goes. Only root can write where it is, and no tool runs as root.
 */
import type Dockerode from 'dockerode';
import { packContext } from './build.ts';
import { toMessage, toStatus } from './container.ts';

/**
 * Stops a container, its files stay. The file names the life that is ended, so it need not be removed when another
 * begins. Should the end not follow, because whoever was about to bring it died, then a later death of the same life
 * counts as a suspension too: nothing is lost by that but a clearer message.
 */
export async function suspend(docker: Dockerode, id: string, abortSignal: AbortSignal): Promise<void> {
  const container = docker.getContainer(id);
  try {
    const { State } = await container.inspect({ abortSignal });
    if (!State.Running) return;
    const note = packContext([], {
      [toNote(State.StartedAt)]: 'The server was stopped, and this sandbox with it.',
    });
    await container.putArchive(note, { path: '/', abortSignal });
    // The daemon answers when the container has ended.
    await container.kill({ abortSignal });
  } catch (error) {
    // Gone, or ended by itself.
    if (toStatus(error) === 404 || toStatus(error) === 409) return;
    throw new Error(`container ${id.slice(0, 12)} could not be suspended: ${toMessage(error)}`, {
      cause: error,
    });
  }
}

/** Whether the end of a container was a suspension. */
export async function isSuspended(
  docker: Dockerode,
  { Id, State }: Dockerode.ContainerInspectInfo,
): Promise<boolean> {
  if (State.Running || State.Status === 'created') return false;
  try {
    await docker.getContainer(Id).infoArchive({ path: `/${toNote(State.StartedAt)}` });
    return true;
  } catch (error) {
    if (toStatus(error) === 404) return false;
    throw error;
  }
}

/** The moment of its start tells a life of a container from all others. */
function toNote(startedAt: string): string {
  return `.drover-suspended-${startedAt.replaceAll(/[^\d]/g, '')}`;
}
