/** The probe of the log engine: carriers and heads. */
import { openLogStore } from '../../../src/engine/log/open.ts';
import { SILENT_AFTER_MS, type CarrierRow } from '../../../src/engine/log/store.ts';
import type { Probe } from '../probe.ts';
import { eventually } from '../process.ts';
import { engineConfig, type SessionsPlace } from '../sessions.ts';

const PAGE = 1000;

/** Opens it. */
export async function openLogProbe(place: SessionsPlace): Promise<Probe> {
  const store = await openLogStore(engineConfig(place), '');
  async function carriers(id: string): Promise<CarrierRow[]> {
    const all: CarrierRow[] = [];
    for (;;) {
      const last = all.at(-1);
      const page = await store.read(id, last ? last.position + last.drafts.length : 0, PAGE);
      if (page.length === 0) return all;
      all.push(...page);
    }
  }
  return {
    async writes(id) {
      return (await carriers(id)).map((row) => ({
        bytes: Buffer.from(JSON.stringify(row)),
        isClients: row.author === 'client',
      }));
    },
    async isGone(id) {
      return (await store.head(id)) === undefined && (await store.read(id, 0, 1)).length === 0;
    },
    async looked(id) {
      const before = await store.head(id);
      await store.touch(id);
      const sinceMs = Date.now();
      const isLooked = async (): Promise<boolean> => {
        const head = await store.head(id);
        if (!head || !head.due) return true;
        const isAnother = head.holder !== null && head.holder !== before?.holder;
        const isSilent = async () => (await store.due('', PAGE)).some(({ sessionId }) => sessionId === id);
        // A holder that is not silent by now was none of the dead.
        return isAnother || (Date.now() - sinceMs > 2 * SILENT_AFTER_MS && !(await isSilent()));
      };
      await eventually('a harness to look at the session', isLooked, 30_000);
    },
    close: () => store.close(),
  };
}
