/** Events that clients get wrong: each mistake is answered by its name and place, and leaves nothing behind. */
import { describe, expect, it } from 'vitest';
import { unique } from '../support/client.ts';
import { UNKNOWN, useRefusals } from '../support/refusals.ts';
import { message, modelRequests, only, script, textOf, typesOf, useTestbed } from '../support/turns.ts';

const bed = useTestbed();
const { live, path, refused } = useRefusals(bed);

const text = { type: 'text', text: 'hello' };
const said = (...content: unknown[]) => ({ type: 'user.message', content });
const image = (source: unknown) => said({ type: 'image', source });
const document = (source: unknown, more = {}) => said({ type: 'document', source, ...more });
const base64 = (media_type: unknown, data: unknown) => ({ type: 'base64', media_type, data });
const plain = (data: unknown) => ({ type: 'text', media_type: 'text/plain', data });

describe('events that are not as they should be', () => {
  it.each<[string, unknown]>([
    ['events[1]: Input should be a valid object', null],
    ['events[1]: Input should be a valid object', 'hello'],
    ['events[1]: Input should be a valid object', [message('x')]],
    ['events[1].type: Field required', { content: [text] }],
    ['events[1].type: Unknown type 7', { type: 7 }],
    ['events[1].type: Unknown type "user.shout"', { type: 'user.shout', content: [text] }],
    ['events[1].type: Unknown type "agent.message"', { type: 'agent.message', content: [text] }],
    ['events[1].type: Unknown type "x.session_created"', { type: 'x.session_created' }],
    ['Invalid user.define_outcome event at events[1]: ', { type: 'user.define_outcome', description: 'x' }],
    ['events[1].content: Field required', { type: 'system.message' }],
    ['events[1].content: must contain at least 1', { type: 'system.message', content: [] }],
    ['events[1].content[0].type: ', { type: 'system.message', content: [{ type: 'image' }] }],
    ['Invalid user.tool_result event at events[1]: ', { type: 'user.tool_result', tool_use_id: 'x' }],
    ['events[1].content: Field required', { type: 'user.message' }],
    ['events[1].content: Input should be a valid list', { type: 'user.message', content: 'hello' }],
    ['events[1].content: must contain at least 1', said()],
    ['events[1].content[0]: Input should be a valid object', said('hello')],
    ['events[1].content[1].type: Unknown type "tool_use"', said(text, { type: 'tool_use' })],
    ['events[1].content[0].type: Unknown type "redacted"', said({ type: 'redacted' })],
    ['events[1].content[0].text: Field required', said({ type: 'text' })],
    ['events[1].content[0].text: Input should be a valid string', said({ type: 'text', text: 1 })],
    ['events[1].content[0].text: ', said({ type: 'text', text: '' })],
    ['events[1].content[2].text: ', said(text, text, { type: 'text', text: ' \n\t' })],
    ['events[1].content[0].cache_control: Extra inputs', said({ ...text, cache_control: null })],
    ['events[1].loud: Extra inputs', { ...said(text), loud: true }],
    ['events[1].id: Extra inputs', { ...said(text), id: `sevt_${UNKNOWN}` }],
    ['events[1].processed_at: Extra inputs', { ...said(text), processed_at: null }],
    ['events[1].session_thread_id: Extra inputs', { ...said(text), session_thread_id: `sthr_${UNKNOWN}` }],
    ['events[1].session_thread_id: Input should be', { type: 'user.interrupt', session_thread_id: 3 }],
    [`sthr_${UNKNOWN} not found`, { type: 'user.interrupt', session_thread_id: `sthr_${UNKNOWN}` }],
    ['events[1].tool_use_id: Field required', { type: 'user.tool_confirmation', result: 'allow' }],
    [
      "events[1].result: Input should be 'allow' or 'deny'",
      { type: 'user.tool_confirmation', tool_use_id: 'x', result: 'maybe' },
    ],
    [
      `no tool use sevt_${UNKNOWN}`,
      { type: 'user.tool_confirmation', tool_use_id: `sevt_${UNKNOWN}`, result: 'allow' },
    ],
    ['events[1].custom_tool_use_id: Field required', { type: 'user.custom_tool_result' }],
    [
      `no custom tool use sevt_${UNKNOWN}`,
      { type: 'user.custom_tool_result', custom_tool_use_id: `sevt_${UNKNOWN}` },
    ],
  ])('%s', async (says, event) => {
    const why = await refused(path('/events'), { events: [message('fine'), event] });
    expect(why).toContain(says);
    expect(why).toContain('events[1]');
  });

  it.each<[string, unknown]>([
    ['source: Field required', said({ type: 'image' })],
    ['source: Input should be a valid object', image('http://example.com/a.png')],
    ['source.type: Unknown type "file"', image({ type: 'file', file_id: 'file_1' })],
    ['source.type: Unknown type "file"', document({ type: 'file', file_id: 'file_1' })],
    ['source.data: Invalid base64', image(base64('image/png', '%%%'))],
    ['source.data: must have at least 1', image(base64('image/png', ''))],
    ['source.media_type: Input should be', image(base64('image/bmp', 'AAAA'))],
    ['source.media_type: Input should be', image(base64('application/pdf', 'AAAA'))],
    ['source.media_type: Field required', image({ type: 'base64', data: 'AAAA' })],
    ['source.type: Unknown type "text"', image(plain('not a picture'))],
    ['source.url: Invalid URL', image({ type: 'url', url: 'no url' })],
    ['source.url: Invalid URL', image({ type: 'url', url: 'file:///etc/passwd' })],
    ['source.url: Invalid URL', document({ type: 'url', url: 'ftp://example.com/a.pdf' })],
    ['source.width: Extra inputs', image({ ...base64('image/png', 'AAAA'), width: 1 })],
    ['source.media_type: Input should be', document(base64('image/png', 'AAAA'))],
    ['source.media_type: Input should be', document({ ...plain('x'), media_type: 'text/html' })],
    ['source.data: must have at least 1', document(plain(''))],
    ['title: Input should be a valid string', document(plain('x'), { title: 4 })],
    ['pages: Extra inputs', document(plain('x'), { pages: 4 })],
  ])('a block with %s', async (says, event) => {
    expect(await refused(path('/events'), { events: [message('fine'), event] })).toContain(
      `events[1].content[0].${says}`,
    );
  });

  it.each<[string, unknown]>([
    ['events: Field required', {}],
    ['events: must contain at least 1', { events: [] }],
    ['events: Input should be a valid list', { events: message('x') }],
    ['wait: Extra inputs', { events: [message('x')], wait: true }],
    ['levels deep', { events: [JSON.parse('['.repeat(500) + ']'.repeat(500))] }],
  ])('a body with %s', async (says, body) => {
    expect(await refused(path('/events'), body)).toContain(says);
  });

  it('a thread of another session is not this one', async () => {
    const other = await bed.live();
    const turn = await other.turn(script({ say: 'elsewhere' }));
    const id = only(turn, 'session.thread_status_idle')[0]?.session_thread_id;
    const interrupt = { type: 'user.interrupt', session_thread_id: id };
    expect(await refused(path('/events'), { events: [interrupt] })).toContain(
      `events[0]: session_thread_id: thread ${id}`,
    );
  });

  it('a type of the wire cannot be smuggled in as a list of types', async () => {
    const why = await refused(path('/events'), { events: [{ type: ['user.message'], content: [text] }] });
    expect(why).toContain('events[0].type');
  });
});

describe('after all that', () => {
  it('blocks of every kind that is taken reach the log and the model', async () => {
    const mark = unique('blocks');
    const { id } = await bed.agent({ system: mark });
    const talk = await bed.live({ agent: id });
    const pixel =
      'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
    const content = [
      { type: 'image', source: base64('image/png', pixel) },
      { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
      { type: 'document', source: base64('application/pdf', 'JVBERi0xLjQK'), title: 'one', context: 'two' },
      { type: 'document', source: plain('plain words') },
      { type: 'document', source: { type: 'url', url: 'https://example.com/a.pdf' } },
      { type: 'text', text: script({ say: 'I see' }) },
    ];
    await talk.send({ type: 'user.message', content } as never);
    await talk.next('session.status_idle');
    expect(only(talk.events, 'agent.message').map(textOf)).toEqual(['I see']);
    expect(only(await talk.list(), 'user.message').map((event) => event.content)).toEqual([content]);
    const [request] = await modelRequests(mark);
    expect(request?.body.messages[0]?.content).toMatchObject(content);
  });

  it('the session still works and its own thread can be named', async () => {
    const turn = await live().turn(script({ say: 'unharmed' }));
    expect(only(turn, 'agent.message').map(textOf)).toEqual(['unharmed']);
    const thread = only(turn, 'session.thread_status_idle')[0]?.session_thread_id ?? '';
    await live().send({ type: 'user.interrupt', session_thread_id: thread });
    expect(typesOf(live().events)).not.toContain('session.error');
    expect((await live().read()).status).toBe('idle');
  });
});
