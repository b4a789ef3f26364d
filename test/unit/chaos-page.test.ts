/** The page that chaos writes over several runs. */
import { expect, it } from 'vitest';
import { toPage } from '../../scripts/chaos/page.ts';

const one = { title: 'one', text: 'a table\n\nand its words' };
const two = { title: 'two', text: 'another' };

it('has sections behind its head, as they come', () => {
  const page = toPage(toPage('', one), two);
  expect(page).toMatch(/^# Chaos\n/);
  expect(page).toMatch(/\n\n## one\n\na table\n\nand its words\n\n## two\n\nanother\n$/);
});

it('has each in the form that it had last', () => {
  const newer = { title: 'one', text: 'newer' };
  expect(toPage(toPage(toPage('', one), two), newer)).toBe(toPage(toPage('', newer), two));
});
