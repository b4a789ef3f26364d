/** Previews over real unix sockets in a folder of their own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PreviewReceiver, PreviewSender } from '../../src/previews.ts';
import { receivePreviews, sendPreviews } from '../../src/previews/socket.ts';
import { eventually } from '../support/eventually.ts';
import { connected, delta, listenTo } from '../support/previews.ts';

let folder: string;
let path: string;
let open: { close(): unknown }[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'previews-'));
  path = join(folder, 'bus.sock');
  open = [];
});

afterEach(async () => {
  for (const one of open) await one.close();
  await rm(folder, { recursive: true });
});

async function receive(): Promise<PreviewReceiver> {
  const receiver = await receivePreviews({ path });
  open.push(receiver);
  return receiver;
}

function send(): PreviewSender {
  const sender = sendPreviews({ path });
  open.push(sender);
  return sender;
}

describe('a restart', () => {
  test('the worker may be there first, and a socket file may be left over', async () => {
    const sender = send();
    sender.send(delta('a', 's1', 'nobody'));
    const dead = createServer().listen(path);
    await new Promise((resolve) => dead.once('listening', resolve));
    const receiver = await receive();
    const listener = listenTo(receiver, 'a');
    await connected(sender, 'a', listener);
    expect(listener.texts()).toEqual([]);
    dead.close();
  });

  test('leaves no hole: of a span that has lost something, nothing more is sent', async () => {
    const { server, connections } = await plainApi();
    const sender = send();
    await eventually(() => expect(connections).toHaveLength(1));
    connections[0]?.socket.write('{"watch":"a"}\n');
    await eventually(() => {
      sender.send(delta('a', 's1', 'before'));
      expect(connections[0]?.text()).toContain('before');
    });
    connections[0]?.socket.destroy();
    await eventually(() => expect(connections).toHaveLength(2));
    connections[1]?.socket.write('{"watch":"a"}\n');
    await eventually(() => {
      sender.send(delta('a', 's1', 'after the hole'));
      sender.send(delta('a', 's2', 'another span'));
      expect(connections[1]?.text()).toContain('another span');
    });
    expect(connections[1]?.text()).not.toContain('after the hole');
    server.close();
  });
});

describe('a peer that', () => {
  test('dies in the middle of a line harms nobody', async () => {
    const receiver = await receive();
    const listener = listenTo(receiver, 'a');
    for (const text of ['{"sessionId":"a","fra', 'no json\n', 'null\n', '{}\n', '[]\n']) {
      const dying = connect(path);
      await new Promise((resolve) => dying.write(text, resolve));
      const closed = new Promise((resolve) => dying.once('close', resolve));
      dying.end();
      dying.resume();
      await closed;
    }
    const sender = send();
    await connected(sender, 'a', listener);
    expect(listener.texts()).toEqual([]);
  });

  test('says nonsense to a worker is not heard', async () => {
    const { server, connections } = await plainApi();
    const sender = send();
    await eventually(() => expect(connections).toHaveLength(1));
    connections[0]?.socket.write('nonsense\nnull\n7\n{"watch":"a"}\n{"wat');
    await eventually(() => {
      sender.send(delta('a', 's1', 'still here'));
      expect(connections[0]?.text()).toContain('still here');
    });
    connections[0]?.socket.end();
    await eventually(() => expect(connections).toHaveLength(2));
    server.close();
  });

  test('does not read loses the rest of the span, and the worker does not fill up', async () => {
    const { server, connections } = await plainApi();
    const sender = send();
    await eventually(() => expect(connections).toHaveLength(1));
    const api = connections[0];
    if (!api) throw new Error('no connection');
    api.socket.write('{"watch":"a"}\n');
    await eventually(() => {
      sender.send(delta('a', 'first', 'hello'));
      expect(api.text()).toContain('hello');
    });
    api.socket.pause();
    const load = 'x'.repeat(64 * 1024);
    for (let at = 0; at < 400; at += 1) sender.send(delta('a', 's1', `[${at}]${load}`));
    api.socket.resume();
    let tries = 0;
    await eventually(() => {
      sender.send(delta('a', `try${(tries += 1)}`, 'drained'));
      expect(api.text().includes('drained')).toBe(true);
    });
    sender.send(delta('a', 's1', '[400]'));
    sender.send(delta('a', 's2', 'the end'));
    await eventually(() => expect(api.text().includes('the end')).toBe(true));
    const marks = [...api.text().matchAll(/\[(\d+)\]/g)].map(([, at]) => Number(at));
    expect(marks).toEqual(Array.from({ length: marks.length }, (_, at) => at));
    expect(marks.length).toBeLessThan(400);
    server.close();
  });
});

test('a sender that is closed while it connects stays closed', async () => {
  const { server, connections } = await plainApi();
  const sender = sendPreviews({ path });
  sender.close();
  const other = send();
  await eventually(() => expect(connections.some(({ socket }) => !socket.destroyed)).toBe(true));
  await eventually(() => expect(connections.filter(({ socket }) => !socket.destroyed)).toHaveLength(1));
  other.close();
  server.close();
});

interface Connection {
  readonly socket: Socket;
  readonly text: () => string;
}

/** An API that only keeps what it hears. */
async function plainApi(): Promise<{ server: Server; connections: Connection[] }> {
  const connections: Connection[] = [];
  const server = createServer((socket) => {
    let text = '';
    socket.on('data', (bytes) => (text += String(bytes)));
    socket.on('error', () => socket.destroy());
    connections.push({ socket, text: () => text });
  });
  server.listen(path);
  await new Promise((resolve) => server.once('listening', resolve));
  open.push({ close: () => connections.forEach(({ socket }) => socket.destroy()) });
  return { server, connections };
}
