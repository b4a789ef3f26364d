/** The work that sessions do while they are under attack, and what it leaves behind in their sandboxes. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { script } from '../../../src/model/directives.ts';
import { handFolders } from '../../sandboxes.ts';

const MODEL_MS = 100;
const FILE = 'marks.log';
const AT_WORK_WITHIN_MS = 60_000;
const POLL_MS = 50;

/** A turn: the model, a command that leaves its mark and takes a moment, the model. */
export function markedTurn(mark: string): string {
  return [
    `This is ${mark}.`,
    script(
      { delayMs: MODEL_MS },
      { call: 'bash', input: { command: `echo ${mark} >> ${FILE}; sleep 0.3; echo ran ${mark}` } },
      { delayMs: MODEL_MS },
      { say: `did ${mark}` },
    ),
  ].join('\n');
}

/** Waits until every session has made a turn: what is to be hit is work, not the making of sandboxes. */
export async function untilAtWork(isAtWork: () => boolean): Promise<void> {
  const deadline = performance.now() + AT_WORK_WITHIN_MS;
  while (!isAtWork() && performance.now() < deadline) await pause(POLL_MS);
}

/** Whether a message is that of a turn. */
export function isAbout(text: string, mark: string): boolean {
  return text.startsWith(`This is ${mark}.`);
}

/** How often each mark was left, over all sandboxes that there are. */
export async function countMarks(dataDir: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const folder of await handFolders(dataDir)) {
    const log = await readFile(join(folder, 'workspace', FILE), 'utf8').catch(() => '');
    for (const mark of log.split('\n').filter(Boolean)) counts.set(mark, (counts.get(mark) ?? 0) + 1);
  }
  return counts;
}

/** How many runs there were beyond the first of each. */
export function countRepeated(marks: ReadonlyMap<string, number>): number {
  return [...marks.values()].reduce((sum, count) => sum + count - 1, 0);
}
