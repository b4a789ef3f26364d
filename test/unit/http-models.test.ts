import { describe, expect, it } from 'vitest';
import type { ModelInfo } from '../../src/wire/model.ts';
import { collect, createTestPlane, failureOf } from '../support/control-plane.ts';

function model(id: string, lifecycle: ModelInfo['lifecycle'] = 'active'): ModelInfo {
  return {
    id,
    type: 'model',
    display_name: id,
    created_at: '2026-01-01T00:00:00Z',
    capabilities: null,
    lifecycle,
    line: null,
    deprecated_at: null,
    retires_at: null,
    max_input_tokens: null,
    max_tokens: null,
  };
}

const known = [model('e'), model('d'), model('c', 'deprecated'), model('b', 'retired'), model('a')];

describe('models', () => {
  it('pages forwards and backwards with the older kind of page', async () => {
    const { client, answers } = await createTestPlane({ models: async () => known });
    const all = await collect(client.models.list({ limit: 2 }));
    expect(all.map(({ id }) => id)).toEqual(['e', 'd', 'c', 'a']);
    expect(JSON.parse(answers[0]?.text ?? '')).toMatchObject({ has_more: true, first_id: 'e', last_id: 'd' });
    const back = await client.models.list({ limit: 2, before_id: 'a' });
    expect(back.data.map(({ id }) => id)).toEqual(['d', 'c']);
    expect(back.has_more).toBe(true);
  });

  it('shows retired models only on request', async () => {
    const { client } = await createTestPlane({ models: async () => known });
    const some = await client.models.list({ lifecycle: ['retired', 'deprecated'] });
    expect(some.data.map(({ id }) => id)).toEqual(['c', 'b']);
    expect((await failureOf(client.models.list({ lifecycle: ['dead' as 'retired'] }))).apiMessage).toMatch(
      /^lifecycle\[0\]: /,
    );
  });

  it('retrieves one, and refuses what is not there', async () => {
    const { client } = await createTestPlane({ models: async () => known });
    expect(await client.models.retrieve('c')).toMatchObject({ id: 'c', lifecycle: 'deprecated' });
    expect((await failureOf(client.models.retrieve('z'))).status).toBe(404);
    expect((await failureOf(client.models.list({ after_id: 'z' }))).status).toBe(400);
    expect((await failureOf(client.models.list({ after_id: 'a', before_id: 'b' }))).status).toBe(400);
  });
});
