/** The page that chaos writes over several runs. */
import { expect, it } from 'vitest';
import { toPage } from '../../scripts/chaos/page.ts';

const [one, two] = [
  { title: 'one', text: 'a table\n\nand its words' },
  { title: 'two', text: 'another' },
];

it('has the sections of a run behind its head', () => {
  const page = toPage('', [one, two]);
  expect(page).toMatch(/^# Chaos\n/);
  expect(page).toMatch(/\n\n## one\n\na table\n\nand its words\n\n## two\n\nanother\n$/);
});

it('keeps what another run has written, and replaces what this one has anew', () => {
  const page = toPage(toPage('', [one, two]), [{ title: 'one', text: 'newer' }]);
  expect(page).toBe(toPage('', [{ title: 'one', text: 'newer' }, two]));
  expect(toPage(page, [{ title: 'three', text: 'more' }])).toBe(`${page}\n## three\n\nmore\n`);
});
