/** How a hand is suspended that nobody uses: the order of things, over a runner that is played. */
import { duplexPair, type Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { suspendIfIdle, type PresentLife } from '../../src/hands/idle.ts';
import { createLineSplitter, parseRequest, toLine, type Request } from '../../src/hands/runner/protocol.ts';

interface Played {
  /** What is answered to a hold. */
  readonly hold?: 'held' | 'busy';
  /** What becomes of it when it is asked to end. */
  readonly end?: 'ends' | 'busy';
  /** Whether it knows the two requests. */
  readonly isOld?: boolean;
  /** Whether it ends by itself before it is noted. */
  readonly hasEnded?: boolean;
}

/** A hand that plays a part, and what happened to it, in order. */
function createLife({ hold = 'held', end = 'ends', isOld = false, hasEnded = false }: Played = {}) {
  const noted = hasEnded ? undefined : 'life 1';
  const happened: string[] = [];
  let isOver = false;
  const answer = ({ type, seq }: Request, line: Duplex): void => {
    happened.push(type);
    if (type === 'hold') line.write(toLine({ type: hold, seq }));
    if (type === 'end' && end === 'busy') line.write(toLine({ type: 'busy', seq }));
    if (type === 'end' && end === 'ends') {
      isOver = true;
      line.destroy();
    }
  };
  const life: PresentLife = {
    async open() {
      const [worker, runner] = duplexPair();
      const split = createLineSplitter(1000);
      runner.on('data', (chunk: Buffer) => {
        for (const request of split(chunk).map(parseRequest)) if (request) answer(request, runner);
      });
      runner.on('end', () => happened.push('closed'));
      runner.write(toLine({ type: 'hello', protocol: 1, ...(isOld ? {} : { holds: true }) }));
      return worker;
    },
    async note() {
      happened.push('note');
      return noted;
    },
    isOver: async (which) => which === noted && isOver,
  };
  return { life, happened };
}

const options = { quietMs: 0, signal: new AbortController().signal };

describe('suspendIfIdle', () => {
  it('holds, then notes, then ends', async () => {
    const { life, happened } = createLife();
    expect(await suspendIfIdle(life, options)).toBe(true);
    expect(happened.slice(0, 3)).toEqual(['hold', 'note', 'end']);
  });

  it.each<[string, Played, string[]]>([
    ['is busy', { hold: 'busy' }, ['hold']],
    ['is of a time before it could be asked', { isOld: true }, []],
    ['has ended by itself meanwhile', { hasEnded: true }, ['hold', 'note']],
    ['did not wait for us', { end: 'busy' }, ['hold', 'note', 'end']],
  ])('leaves a hand alone that %s', async (_what, played, expected) => {
    const { life, happened } = createLife(played);
    expect(await suspendIfIdle(life, options)).toBe(false);
    expect(happened.filter((what) => what !== 'closed')).toEqual(expected);
  });

  it('starts nothing where nothing runs', async () => {
    const { life } = createLife();
    expect(await suspendIfIdle({ ...life, open: async () => undefined }, options)).toBe(false);
  });

  it('gives the hold back when it cannot be noted', async () => {
    const { life, happened } = createLife();
    life.note = () => Promise.reject(new Error('the disk is full'));
    await expect(suspendIfIdle(life, options)).rejects.toThrow('the disk is full');
    await expect.poll(() => happened).toEqual(['hold', 'closed']);
  });

  it('lets go at once when it is told to stop, and says so', async () => {
    const { life, happened } = createLife();
    const stop = new AbortController();
    life.note = async () => {
      stop.abort(new Error('the worker stops'));
      return 'life 1';
    };
    await expect(suspendIfIdle(life, { quietMs: 0, signal: stop.signal })).rejects.toThrow(
      'the worker stops',
    );
    await expect.poll(() => happened).toEqual(['hold', 'closed']);
    await expect(suspendIfIdle(life, { quietMs: 0, signal: stop.signal })).rejects.toThrow(
      'the worker stops',
    );
  });
});
