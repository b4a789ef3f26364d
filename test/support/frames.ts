/** Server-sent events as they are on the wire, with the ids that the official client does not show. */

/** One frame. */
export interface Frame {
  /** The position that the frame carries; undefined where it has no `id:` line. */
  readonly id: number | undefined;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The frames of a response, as they come. Who stops early leaves the stream. */
export async function* framesOf(response: Response): AsyncGenerator<Frame, void, undefined> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of response.body ?? []) {
    const parts = `${rest}${decoder.decode(chunk, { stream: true })}`.split('\n\n');
    rest = parts.pop() ?? '';
    for (const part of parts) yield parse(part);
  }
  if (rest !== '') throw new Error(`the stream ended within a frame: ${rest}`);
}

/** The frames that carry a position. */
export async function* numberedOf(
  response: Response,
): AsyncGenerator<Frame & { id: number }, void, undefined> {
  for await (const frame of framesOf(response)) {
    const { id } = frame;
    if (id !== undefined) yield { ...frame, id };
  }
}

function parse(text: string): Frame {
  const [, id, type, data] = /^(?:id: (\d+)\n)?event: (\S+)\ndata: (.+)$/.exec(text) ?? [];
  if (type === undefined || data === undefined) throw new Error(`not a frame: ${text}`);
  return {
    id: id === undefined ? undefined : Number(id),
    type,
    data: JSON.parse(data) as Record<string, unknown>,
  };
}
