/** The session port on Temporal. */
import type { Sessions } from '../../session.ts';
import { createReaders } from '../../session/readers.ts';
import { createSessions } from '../../session/sessions.ts';
import { createTemporalBackend, type TemporalBackendDeps } from './backend.ts';

/** Makes the port; needs a client of the Temporal server and no worker. */
export function createTemporalSessions(deps: TemporalBackendDeps): Sessions {
  const backend = createTemporalBackend(deps);
  return createSessions({ backend, readers: createReaders((id) => backend.cursor(id)), blobs: deps.blobs });
}
