/** Seeded choices: the same seed and index give the same ones on every machine and in every version of a library. */
export interface Dice {
  /** A whole number from `least` to `most`, both included. */
  int(least: number, most: number): number;
  /** True in this share of all cases. */
  chance(share: number): boolean;
  pick<T>(items: readonly [T, ...T[]]): T;
  /** Picks by weight. */
  weigh<T>(items: readonly (readonly [weight: number, item: T])[]): T;
  shuffle<T>(items: readonly T[]): T[];
}

/** Dice for one conversation of a seed. The generator is mulberry32. */
export function createDice(seed: number, index: number): Dice {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35);
  const roll = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const int: Dice['int'] = (least, most) => least + Math.floor(roll() * (most - least + 1));
  return {
    int,
    chance: (share) => roll() < share,
    pick: (items) => items[int(0, items.length - 1)] ?? items[0],
    weigh(items) {
      let left = roll() * items.reduce((sum, [weight]) => sum + weight, 0);
      for (const [weight, item] of items) {
        left -= weight;
        if (left < 0) return item;
      }
      const [last] = items.slice(-1);
      if (!last) throw new Error('there is nothing to pick from');
      return last[1];
    },
    shuffle<T>(items: readonly T[]): T[] {
      const rest = [...items];
      return items.map(() => rest.splice(int(0, rest.length - 1), 1)).flat();
    },
  };
}
