/** Getting the programs of a Temporal server, with a small script in place of Go. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureTemporalServer, TEMPORAL_VERSION } from '../../scripts/temporal-on-postgres.ts';
import type { ToolPlaces } from '../../src/config.ts';

const VERSIONS = {
  server: `temporal version ${TEMPORAL_VERSION}`,
  sql: `temporal-sql-tool version ${TEMPORAL_VERSION}`,
};

let folder: string;
let places: ToolPlaces;
let lines: string[];
const log = (line: string) => void lines.push(line);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drover-tools-'));
  lines = [];
  places = { searchPath: [folder], cacheDir: join(folder, 'cache'), env: { PATH: '/usr/bin:/bin' } };
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A `go` whose programs know nothing but their versions; it notes what it was asked to build. */
function fakeGo({ server, sql }: Readonly<Record<'server' | 'sql', string>>): void {
  const file = join(folder, 'go');
  const build = (name: string, says: string) =>
    `  */${name}@*) printf '#!/bin/sh\\necho "${says}"\\n' > "$GOBIN/${name}" ;;\n`;
  const script = `case "$2" in\n${build('server', server)}${build('sql', sql)}esac\n`;
  writeFileSync(file, `#!/bin/sh\necho "$@" >> "${folder}/asked"\n${script}`);
  chmodSync(file, 0o755);
}

const asked = () => readFileSync(join(folder, 'asked'), 'utf8').trim().split('\n');

describe('ensureTemporalServer', () => {
  it('builds both programs once, in a folder of their version', async () => {
    fakeGo(VERSIONS);
    const kept = join(places.cacheDir, `temporal-server-${TEMPORAL_VERSION}`);
    const both = { server: join(kept, 'server'), sql: join(kept, 'sql') };
    const ask = async () => await ensureTemporalServer({ log, places });
    expect(await Promise.all([ask(), ask(), ask()])).toEqual([both, both, both]);
    expect(await ask()).toEqual(both);
    expect(asked()).toEqual([
      `install go.temporal.io/server/cmd/server@v${TEMPORAL_VERSION}`,
      `install go.temporal.io/server/cmd/tools/sql@v${TEMPORAL_VERSION}`,
    ]);
    expect(readdirSync(kept).sort()).toEqual(['install.lock', 'server', 'sql']);
    expect(lines).toContainEqual(
      expect.stringMatching(/^building the Temporal server from source with Go, once/),
    );
  });

  it('takes no other version', async () => {
    const kept = join(places.cacheDir, `temporal-server-${TEMPORAL_VERSION}`);
    mkdirSync(kept, { recursive: true });
    writeFileSync(join(kept, 'server'), '#!/bin/sh\necho "temporal version 0.1"\n', { mode: 0o755 });
    fakeGo({ ...VERSIONS, server: 'temporal version 0.2' });
    await expect(ensureTemporalServer({ log, places })).rejects.toThrow(
      new RegExp(
        `no Temporal server ${TEMPORAL_VERSION}: .*is "temporal version 0.1".*is "temporal version 0.2"`,
      ),
    );
  });

  it('says what is missing', async () => {
    await expect(ensureTemporalServer({ log, places })).rejects.toThrow('go install: no go program on PATH');
  });
});
