import { describe, expect, it } from 'vitest';
import { summarise } from '../../scripts/compare/report.ts';
import { ABOUT, sample } from '../support/comparison.ts';

describe('summarise', () => {
  it('pools the samples of all rounds', () => {
    const { metrics } = summarise({
      about: ABOUT,
      samples: [
        sample('turn', 'log-sqlite', { early: [1, 2] }),
        sample('turn', 'log-sqlite', { early: [3] }, 1),
      ],
    });
    expect(metrics['turn']?.['log-sqlite']?.figures['early']).toEqual({
      kind: 'many',
      n: 3,
      p50: 2,
      p95: 2.9,
      min: 1,
      max: 3,
    });
  });

  it('takes the median of single numbers, and the mean of each part of a whole', () => {
    const { metrics } = summarise({
      about: ABOUT,
      samples: [
        sample('turn', 'log-sqlite', { rate: 10, cpu: { api: 4, worker: 2 }, words: 'yes' }),
        sample('turn', 'log-sqlite', { rate: 20, cpu: { api: 6 }, words: 'no' }, 1),
      ],
    });
    expect(metrics['turn']?.['log-sqlite']?.figures).toEqual({
      rate: { kind: 'once', n: 2, p50: 15, p95: 19.5, min: 10, max: 20 },
      cpu: { kind: 'parts', parts: { api: 5, worker: 1 } },
      words: { kind: 'words', words: 'yes; no' },
    });
  });

  it('keeps why a round failed beside the figures of those that did not', () => {
    const { metrics } = summarise({
      about: ABOUT,
      samples: [
        sample('turn', 'log-sqlite', { early: [1] }),
        sample('turn', 'log-sqlite', { failed: 'it hung' }, 1),
        sample('turn', 'log-sqlite', { failed: 'it hung' }, 2),
      ],
    });
    expect(metrics['turn']?.['log-sqlite']).toEqual({
      figures: { early: { kind: 'many', n: 1, p50: 1, p95: 1, min: 1, max: 1 } },
      failures: ['it hung'],
    });
  });

  it('survives its way through JSON, where what is no number becomes null', () => {
    const raw = { about: ABOUT, samples: [sample('turn', 'log-sqlite', { early: [Number.NaN, 4] })] };
    const again = JSON.parse(JSON.stringify(raw)) as typeof raw;
    expect(summarise(again)).toEqual(summarise(raw));
  });

  it('lists candidates in the order of every table, and says how long it took and what load there was', () => {
    const { candidates, minutes, load } = summarise({
      about: ABOUT,
      samples: [
        sample('turn', 'log-sqlite', { early: [1] }),
        sample('turn', 'in-process', { early: [1] }, 1),
        sample('turn', 'temporal-sqlite', { early: [1] }, 2),
      ],
    });
    expect(candidates).toEqual(['in-process', 'temporal-sqlite', 'log-sqlite']);
    expect(minutes).toBe(1.5);
    expect(load.p50).toBeCloseTo(0.2);
    expect(load.max).toBeCloseTo(0.3);
  });
});
