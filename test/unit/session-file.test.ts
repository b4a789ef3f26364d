/** A session as a file is written while its log is read, and is whole or not there. */
import { describe, expect, test } from 'vitest';
import { readFile, streamOf, writeFile, type Header } from '../../src/http/session-file.ts';
import { listen } from '../../src/listen.ts';
import { DamagedLogError } from '../../src/session.ts';
import { copyEntries, toCarriers } from '../../src/session/copy.ts';
import { created, said } from '../support/conversation.ts';
import { collectLog } from '../support/projection.ts';

const LENGTH = 251;
const log = collectLog();
log.append([created()], 1_000_000, 'server');
for (let nth = 1; nth < LENGTH; nth += 1) log.append([said(`m${nth}`, 'hello')], 2_000_000 + nth, 'client');
const { entries } = log;
const HEAD = {
  session: { id: 'sesn_1', created_at: '', archived_at: null },
  agent: { id: 'agent_1', version: 1 },
  environment: { id: 'env_1', name: 'e' },
} as unknown as Header;

/** Reads as a log does; `missing`: one that is not there. */
function reader(missing?: number) {
  const asked: [number, number][] = [];
  const read = async (from: number, to: number) => {
    asked.push([from, to]);
    return entries.slice(from, to).filter(({ position }) => position !== missing);
  };
  return { asked, read };
}

async function streamed(missing?: number) {
  const { asked, read } = reader(missing);
  const file = writeFile(HEAD, LENGTH, read);
  return { asked, file, stream: streamOf(await file.next(), file) };
}

describe('a file', () => {
  test('holds the log, of which a page is read at a time', async () => {
    const { asked, stream } = await streamed();
    const lines = (await new Response(stream).text()).trimEnd().split('\n');
    expect(lines).toHaveLength(LENGTH + 2);
    const { carriers, length, head } = readFile(lines);
    expect([length, head]).toMatchObject([LENGTH, HEAD]);
    expect(carriers).toEqual(toCarriers(copyEntries(entries)));
    expect(asked).toEqual([
      [0, 100],
      [100, 200],
      [200, 251],
    ]);
  });

  test('is read no faster than it is taken, and no more once nobody does', async () => {
    const { asked, file, stream } = await streamed();
    const taker = stream.getReader();
    await taker.read();
    expect(asked.length).toBeLessThanOrEqual(2);
    await taker.cancel();
    expect(await file.next()).toEqual({ done: true, value: undefined });
    expect(asked.length).toBeLessThanOrEqual(2);
  });

  test('of a log in which something is missing is never whole', async () => {
    await expect(streamed(50)).rejects.toThrow(DamagedLogError);
    const { stream } = await streamed(220);
    const pieces: Uint8Array[] = [];
    const taking = (async () => {
      for await (const piece of stream) pieces.push(piece);
    })();
    await expect(taking).rejects.toThrow('entries from position 200');
    expect(() => readFile(Buffer.concat(pieces).toString().trimEnd().split('\n'))).toThrow('cut off');
  });

  test('that breaks off is an error for whoever fetches it', async () => {
    const { stream } = await streamed(220);
    const headers = { 'transfer-encoding': 'chunked' };
    const server = await listen(() => new Response(stream, { headers }), { port: 0, host: '127.0.0.1' });
    try {
      const answer = await fetch(`http://127.0.0.1:${server.port}/`);
      await expect(answer.text()).rejects.toThrow('terminated');
    } finally {
      await server.close(0);
    }
  });
});
