import { describe, expect, test } from 'vitest';
import { parseEvents } from '../../src/http/session-input.ts';
import { ApiError } from '../../src/wire/error.ts';
import { initialEventParams, toEvent, UNSUPPORTED_EVENTS } from '../../src/wire/event-params.ts';

const text = (words: unknown) => ({ type: 'text', text: words });
const message = (...content: unknown[]) => ({ type: 'user.message', content });
const base64 = (mediaType: string, data: unknown = 'aGVsbG8=') => ({
  type: 'base64',
  media_type: mediaType,
  data,
});
const image = (source: unknown) => ({ type: 'image', source });
const document = (source: unknown, rest: object = {}) => ({ type: 'document', source, ...rest });
const confirm = (rest: object) => ({
  type: 'user.tool_confirmation',
  tool_use_id: 'sevt_1',
  result: 'allow',
  ...rest,
});
const result = (rest: object) => ({ type: 'user.custom_tool_result', custom_tool_use_id: 'sevt_1', ...rest });
const search = (rest: object = {}) => ({
  type: 'search_result',
  source: 'https://example.com',
  title: 'a title',
  content: [text('found')],
  citations: { enabled: true },
  ...rest,
});

function refusal(...args: Parameters<typeof parseEvents>): string {
  try {
    parseEvents(...args);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    expect(error.status).toBe(400);
    return error.message;
  }
  return 'taken';
}

const GOOD = [
  message(text('hi')),
  message(text('a'), image(base64('image/png')), image({ type: 'url', url: 'https://example.com/a.png' })),
  message(document(base64('application/pdf'), { title: 'a', context: null })),
  message(document({ type: 'text', media_type: 'text/plain', data: 'words' })),
  message(document({ type: 'url', url: 'http://example.com/a.pdf' })),
  { type: 'user.interrupt' },
  { type: 'user.interrupt', session_thread_id: null },
  { type: 'user.interrupt', session_thread_id: 'sthr_1' },
  confirm({}),
  confirm({ result: 'deny', deny_message: 'no' }),
  result({}),
  result({ content: [], is_error: true }),
  result({
    content: [text('a'), image(base64('image/webp')), document(base64('application/pdf')), search()],
    is_error: null,
  }),
];

test.each(GOOD)('takes and keeps %j', (event) => {
  expect(refusal([event], 'events')).toBe('taken');
  const [params] = parseEvents([event], 'events');
  expect(params && toEvent(params, 'sevt_new')).toEqual({ id: 'sevt_new', ...event });
});

test('an id of the client is not taken', () => {
  expect(refusal([{ ...message(text('hi')), id: 'sevt_mine' }], 'events')).toBe(
    'events[0].id: Extra inputs are not permitted',
  );
});

describe('what is wrong is named by its place', () => {
  const cases: [unknown, string][] = [
    [null, 'events[1]: '],
    ['hello', 'events[1]: '],
    [[], 'events[1]'],
    [{}, 'events[1].type: Field required'],
    [{ type: 'user.massage' }, 'events[1].type: Unknown type "user.massage"'],
    [{ type: 'agent.message', content: [] }, 'events[1].type: Unknown type "agent.message"'],
    [{ type: 'session.status_terminated' }, 'events[1].type: Unknown type'],
    [{ type: 'x.session_created' }, 'events[1].type: Unknown type'],
    [{ type: 'user.message' }, 'events[1].content: Field required'],
    [{ type: 'user.message', content: 'hi' }, 'events[1].content: Input should be a valid list'],
    [message(), 'events[1].content: must contain at least 1 item(s)'],
    [message(text('')), 'events[1].content[0].text: text content blocks must contain non-whitespace text'],
    [message(text('a'), text(' \n\t')), 'events[1].content[1].text: text content blocks must contain'],
    [message(text(7)), 'events[1].content[0].text: Input should be a valid string'],
    [message({ type: 'redacted' }), 'events[1].content[0].type: Unknown type "redacted"'],
    [
      message({ type: 'tool_use', id: 'a', name: 'b', input: {} }),
      'events[1].content[0].type: Unknown type "tool_use"',
    ],
    [
      message({ ...text('a'), cache_control: { type: 'ephemeral' } }),
      'events[1].content[0].cache_control: Extra inputs',
    ],
    [message(search()), 'events[1].content[0].type: Unknown type "search_result"'],
    [
      message(image({ type: 'file', file_id: 'file_1' })),
      'events[1].content[0].source.type: Unknown type "file"',
    ],
    [message(image(base64('image/tiff'))), 'events[1].content[0].source.media_type: Input should be'],
    [message(image(base64('image/png', ''))), 'events[1].content[0].source.data: '],
    [message(image(base64('image/png', 'no base64!'))), 'events[1].content[0].source.data: '],
    [message(image({ type: 'url', url: 'file:///etc/passwd' })), 'events[1].content[0].source.url: '],
    [message(image({ type: 'url', url: 'nowhere' })), 'events[1].content[0].source.url: '],
    [
      message(image({ type: 'text', media_type: 'text/plain', data: 'a' })),
      'events[1].content[0].source.type: ',
    ],
    [message(document(base64('image/png'))), 'events[1].content[0].source.media_type: Input should be'],
    [
      message(document({ type: 'text', media_type: 'text/html', data: 'a' })),
      'events[1].content[0].source.media_type: ',
    ],
    [
      message(document({ type: 'text', media_type: 'text/plain', data: '' })),
      'events[1].content[0].source.data: ',
    ],
    [
      message(document(base64('application/pdf'), { title: 7 })),
      'events[1].content[0].title: Input should be a valid string',
    ],
    [
      { type: 'user.interrupt', session_thread_id: 7 },
      'events[1].session_thread_id: Input should be a valid string',
    ],
    [{ type: 'user.interrupt', reason: 'enough' }, 'events[1].reason: Extra inputs are not permitted'],
    [confirm({ result: 'maybe' }), "events[1].result: Input should be 'allow' or 'deny'"],
    [confirm({ tool_use_id: undefined }), 'events[1].tool_use_id: Field required'],
    [
      confirm({ result: 'deny', deny_message: 'x'.repeat(10_001) }),
      'events[1].deny_message: must have no more than 10000',
    ],
    [result({ custom_tool_use_id: 7 }), 'events[1].custom_tool_use_id: Input should be a valid string'],
    [result({ content: 'done' }), 'events[1].content: Input should be a valid list'],
    [result({ content: [search({ content: [] })] }), 'events[1].content[0].content: must contain at least 1'],
    [
      result({ content: [search({ citations: undefined })] }),
      'events[1].content[0].citations: Field required',
    ],
    [result({ is_error: 'yes' }), 'events[1].is_error: Input should be a valid boolean'],
  ];
  test.each(cases)('%j', (event, start) => {
    const message = refusal([{ type: 'user.interrupt' }, event], 'events');
    expect(message.startsWith(start), message).toBe(true);
  });
});

describe('what this server does not take yet', () => {
  test.each(Object.keys(UNSUPPORTED_EVENTS))('%s is refused by its name', (type) => {
    expect(refusal([{ type: 'user.interrupt' }, { type }], 'events')).toBe(
      `Invalid ${type} event at events[1]: ${UNSUPPORTED_EVENTS[type]}`,
    );
  });
});

describe('initial events', () => {
  test('are messages', () => {
    expect(refusal([message(text('hi'))], 'initial_events', initialEventParams)).toBe('taken');
  });

  test.each(['user.interrupt', 'user.tool_confirmation', 'user.custom_tool_result'])('are no %s', (type) => {
    expect(refusal([{ type }], 'initial_events', initialEventParams)).toContain('initial_events[0].type: ');
  });

  test('are no outcomes', () => {
    expect(refusal([{ type: 'user.define_outcome' }], 'initial_events', initialEventParams)).toContain(
      'Invalid user.define_outcome event at initial_events[0]',
    );
  });
});
