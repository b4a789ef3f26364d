/**
 * What Postgres tells by NOTIFY, over one connection that listens and sends. While it is down messages are lost, and
 * nothing is kept or sent again.
 */
import { escapeIdentifier } from 'pg';
import { openLine } from './line.ts';

/** A message. Equal ones in one `notify` arrive as one. */
export interface Notification {
  readonly channel: string;
  readonly payload: string;
}

/** The connection. What it calls must not throw. */
export interface Listener {
  /**
   * Calls `onMessage` for each payload on the channel until the returned function is called. `onGap` says that
   * messages may have been missed until now: it comes each time that listening has begun, so also once for a channel
   * that was not listened on before. What is read then, and the messages from then on, leave nothing out.
   */
  listen(channel: string, onMessage: (payload: string) => void, onGap?: () => void): () => void;
  /** Sends all in this order, or none. Throws StorageUnavailableError when there is no connection. */
  notify(messages: readonly Notification[]): Promise<void>;
  close(): Promise<void>;
}

interface Subscription {
  readonly onMessage: (payload: string) => void;
  readonly onGap: () => void;
}

/** Longer names are cut off by LISTEN, and refused by NOTIFY. */
const LONGEST_CHANNEL_BYTES = 63;
/** Postgres's own limit. */
const LARGEST_PAYLOAD_BYTES = 7_999;
const NOTIFY =
  'select pg_notify(channel, payload) from unnest($1::text[], $2::text[]) as message (channel, payload)';

/** Opens the connection, and again whenever it breaks. */
export function createListener(url: string): Listener {
  const subscriptions = new Map<string, Set<Subscription>>();
  /** The channels on which the present connection listens. */
  let heard = new Set<string>();
  let adjusting: Promise<void> = Promise.resolve();

  const line = openLine(url, {
    onOpen: () => {
      heard = new Set();
      // Messages are not durable, so nobody has to wait until their commit is.
      void line.query('set synchronous_commit to off').catch(() => undefined);
      adjustSoon();
    },
    onNotification: (channel, payload) => {
      for (const { onMessage } of subscriptions.get(channel) ?? []) onMessage(payload);
    },
  });
  /** Has the connection listen to what is subscribed to, and to nothing else. */
  const adjust = async (): Promise<void> => {
    const now = heard;
    const added = [...subscriptions.keys()].filter((channel) => !now.has(channel));
    const dropped = [...now].filter((channel) => !subscriptions.has(channel));
    if (added.length + dropped.length === 0) return;
    const statements = [
      ...added.map((channel) => `listen ${escapeIdentifier(channel)}`),
      ...dropped.map((channel) => `unlisten ${escapeIdentifier(channel)}`),
    ];
    await line.query(statements.join('; '));
    for (const channel of dropped) now.delete(channel);
    for (const channel of added) {
      now.add(channel);
      for (const { onGap } of subscriptions.get(channel) ?? []) onGap();
    }
  };
  /** After a failure the next connection adjusts. */
  function adjustSoon(): void {
    adjusting = adjusting.then(adjust).catch(() => undefined);
  }

  return {
    listen(channel, onMessage, onGap = () => undefined) {
      requireFit(channel, LONGEST_CHANNEL_BYTES);
      const subscription = { onMessage, onGap };
      const all = subscriptions.get(channel) ?? new Set();
      subscriptions.set(channel, all.add(subscription));
      adjustSoon();
      return () => {
        all.delete(subscription);
        if (all.size > 0 || subscriptions.get(channel) !== all) return;
        subscriptions.delete(channel);
        adjustSoon();
      };
    },
    async notify(messages) {
      for (const { payload } of messages) requireFit(payload, LARGEST_PAYLOAD_BYTES);
      const channels = messages.map(({ channel }) => channel);
      await line.query(NOTIFY, [channels, messages.map(({ payload }) => payload)]);
    },
    close: line.close,
  };
}

function requireFit(text: string, mostBytes: number): void {
  if (Buffer.byteLength(text) > mostBytes)
    throw new RangeError(`more than ${mostBytes} bytes: ${text.slice(0, 100)}…`);
}
