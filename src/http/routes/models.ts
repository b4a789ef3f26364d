/** Models (wire-api sections 3 and 5.6): two read-only routes with the older kind of page. */
import { invalidRequest, notFound } from '../../wire/error.ts';
import { LIFECYCLES, type ModelInfo } from '../../wire/model.ts';
import type { IdPage } from '../../wire/page.ts';
import type { App } from '../app.ts';
import { limitParam, listParam, readQuery, textParam } from '../query.ts';

const listQuery = {
  after_id: textParam(),
  before_id: textParam(),
  lifecycle: listParam(LIFECYCLES),
  limit: limitParam(1000, 20),
};

/** Adds the routes. `models` gives the known models in the order in which they are shown. */
export function mountModels(app: App, models: () => Promise<readonly ModelInfo[]>): void {
  app.get('/v1/models', async (c) => {
    const { after_id, before_id, lifecycle = ['active', 'deprecated'], limit } = readQuery(c, listQuery);
    if (after_id !== undefined && before_id !== undefined) {
      throw invalidRequest('after_id: cannot be combined with before_id');
    }
    const shown = (await models()).filter((model) => lifecycle.includes(model.lifecycle));
    if (before_id !== undefined) {
      const end = indexOf(shown, before_id, 'before_id');
      const start = Math.max(0, end - limit);
      return c.json(toIdPage(shown.slice(start, end), start > 0));
    }
    const start = after_id === undefined ? 0 : indexOf(shown, after_id, 'after_id') + 1;
    return c.json(toIdPage(shown.slice(start, start + limit), shown.length > start + limit));
  });

  app.get('/v1/models/:id', async (c) => {
    const id = c.req.param('id');
    const found = (await models()).find((model) => model.id === id);
    if (found === undefined) throw notFound(`Model \`${id}\` not found.`);
    return c.json(found);
  });
}

function indexOf(models: readonly ModelInfo[], id: string, parameter: string): number {
  const index = models.findIndex((model) => model.id === id);
  if (index === -1) throw invalidRequest(`${parameter}: no model \`${id}\` in this list`);
  return index;
}

function toIdPage(data: ModelInfo[], hasMore: boolean): IdPage<ModelInfo> {
  return { data, has_more: hasMore, first_id: data.at(0)?.id ?? null, last_id: data.at(-1)?.id ?? null };
}
