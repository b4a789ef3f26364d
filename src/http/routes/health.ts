/** `GET /healthz`: whether this process can serve. Needs no key, so that supervisors can ask. */
import type { App } from '../app.ts';

/** Says whether the server can serve, and what it found on the way. Must not reveal anything secret. */
export type HealthCheck = () => Promise<{ readonly ok: boolean; readonly [detail: string]: unknown }>;

/** Adds the route. */
export function mountHealth(app: App, check: HealthCheck = async () => ({ ok: true })): void {
  app.get('/healthz', async (c) => {
    const { ok, ...details } = await check().catch(() => ({ ok: false }));
    return c.json({ status: ok ? 'ok' : 'unavailable', ...details }, ok ? 200 : 503);
  });
}
