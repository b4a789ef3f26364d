/** `drover start` as it is, but with the roles of `fake-cli.ts`. */
import { fileURLToPath } from 'node:url';
import { environment } from '../../src/config.ts';
import { runStart } from '../../src/supervisor/command.ts';

try {
  await runStart(environment(), fileURLToPath(new URL('fake-cli.ts', import.meta.url)));
} catch (error) {
  console.error(`drover: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
