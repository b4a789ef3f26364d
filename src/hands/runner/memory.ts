/** Out-of-memory kills in this hand, so that a command that just vanished can be explained. */
import { readFile } from 'node:fs/promises';

/** Where the kernel counts them: control groups version 2, then 1. */
const COUNTERS = ['/sys/fs/cgroup/memory.events', '/sys/fs/cgroup/memory/memory.oom_control'];

/** How many processes of this hand were killed for lack of memory so far; 0 where that cannot be seen. */
export async function countOomKills(): Promise<number> {
  for (const path of COUNTERS) {
    const text = await readFile(path, 'utf8').catch(() => '');
    const count = /^oom_kill (\d+)$/m.exec(text)?.[1];
    if (count !== undefined) return Number(count);
  }
  return 0;
}
