/** A vitest reporter that ends the output with one plain line: `N passed, N failed, N skipped`. */
import process from 'node:process';
import type { Reporter, TestModule } from 'vitest/node';

/** Counts the tests; a file that could not be run counts as a failure. */
class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const counts = { passed: 0, failed: errors.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) counts[test.result().state] += 1;
      counts.failed += module.errors().length;
    }
    const { passed, failed, skipped } = counts;
    process.once('exit', () =>
      process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`),
    );
  }
}

export default ClosingLine;
