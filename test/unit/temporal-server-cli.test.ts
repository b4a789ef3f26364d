/** Finding and getting the `temporal` program, with small scripts in place of the real ones. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readToolPlaces, type ToolPlaces } from '../../src/config.ts';
import { ensureTemporalCli } from '../../src/temporal-server/cli.ts';
import { goInstall } from '../../src/temporal-server/go-install.ts';
import { runTool } from '../../src/temporal-server/run-tool.ts';
import type { Way } from '../../src/temporal-server/way.ts';
import { eventually, isAlive } from '../support/process.ts';

const TEMPORAL = '#!/bin/sh\necho "temporal version 1.2.3 (Server 1.29.1)"\n';

let folder: string;
let places: ToolPlaces;
let lines: string[];
const log = (line: string) => void lines.push(line);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drover-tools-'));
  lines = [];
  places = {
    searchPath: [join(folder, 'path')],
    cacheDir: join(folder, 'cache'),
    env: { PATH: '/usr/bin:/bin' },
  };
  mkdirSync(join(folder, 'path'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function program(path: string, text: string): string {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

/** A way that writes the program itself, and counts how often it was asked. */
function fakeWay(text = TEMPORAL) {
  let asked = 0;
  const way: Way = {
    name: 'fake',
    get: async (into) => {
      asked += 1;
      return program(join(into, 'some-name'), text);
    },
  };
  return { way, asked: () => asked };
}

const failing = (name: string): Way => ({
  name,
  get: async () => await Promise.reject(new Error(`${name} is out of reach`)),
});

describe('ensureTemporalCli', () => {
  it('takes the one on PATH before the one in the cache', async () => {
    const cached = program(join(places.cacheDir, 'temporal'), TEMPORAL);
    expect(await ensureTemporalCli({ log, places, ways: [] })).toBe(cached);
    const onPath = program(join(folder, 'path', 'temporal'), TEMPORAL);
    expect(await ensureTemporalCli({ log, places, ways: [] })).toBe(onPath);
    expect(lines).toEqual([]);
  });

  it('passes by a program of that name that is another', async () => {
    program(join(folder, 'path', 'temporal'), '#!/bin/sh\necho "temporal-logic 7"\n');
    const cached = program(join(places.cacheDir, 'temporal'), TEMPORAL);
    expect(await ensureTemporalCli({ log, places, ways: [] })).toBe(cached);
  });

  it('gets it by the first way that works and keeps it, leaving nothing else behind', async () => {
    const { way, asked } = fakeWay();
    const cached = join(places.cacheDir, 'temporal');
    mkdirSync(join(places.cacheDir, 'new-left-by-a-killed-process'), { recursive: true });
    const options = { log, places, ways: [failing('download'), way] };
    expect(await ensureTemporalCli(options)).toBe(cached);
    expect(await ensureTemporalCli(options)).toBe(cached);
    expect(asked()).toBe(1);
    expect(readdirSync(places.cacheDir).sort()).toEqual(['install.lock', 'temporal']);
  });

  it('gets it once when several ask at once', async () => {
    const { way, asked } = fakeWay();
    const all = await Promise.all(
      Array.from({ length: 5 }, async () => await ensureTemporalCli({ log, places, ways: [way] })),
    );
    expect(new Set(all)).toEqual(new Set([join(places.cacheDir, 'temporal')]));
    expect(asked()).toBe(1);
  });

  it('never keeps a program that does not run', async () => {
    const broken = fakeWay('#!/bin/sh\nexit 1\n').way;
    await expect(ensureTemporalCli({ log, places, ways: [broken] })).rejects.toThrow('fake: Command failed');
    expect(existsSync(join(places.cacheDir, 'temporal'))).toBe(false);
  });

  it('says what was tried, and what can be done, when nothing works', async () => {
    const failure = ensureTemporalCli({ log, places, ways: [failing('download'), failing('go install')] });
    await expect(failure).rejects.toThrow(
      [
        'No Temporal server can be started. Tried:',
        '  - PATH: no temporal program there',
        `  - cache: no temporal program at ${join(places.cacheDir, 'temporal')}`,
        '  - download: download is out of reach',
        '  - go install: go install is out of reach',
        'Put the temporal CLI on PATH, or set TEMPORAL_ADDRESS to a Temporal server that runs already.',
      ].join('\n'),
    );
  });

  it('gives up when told, without trying the next way', async () => {
    const controller = new AbortController();
    const { way, asked } = fakeWay();
    const hanging: Way = {
      name: 'hanging',
      get: async (_into, { signal }) =>
        await new Promise((_, reject) =>
          signal.addEventListener('abort', () => reject(new Error('cut off'))),
        ),
    };
    const asking = ensureTemporalCli({ log, places, ways: [hanging, way], signal: controller.signal });
    const drafts = () => readdirSync(places.cacheDir).filter((name) => name.startsWith('new-'));
    await eventually('the draft', () => existsSync(places.cacheDir) && drafts().length > 0);
    controller.abort(new Error('enough'));
    await expect(asking).rejects.toThrow('enough');
    expect(asked()).toBe(0);
    expect(readdirSync(places.cacheDir)).toEqual(['install.lock']);
  });
});

describe('go install', () => {
  it('builds the pinned version into the cache, and says that it takes time', async () => {
    const go = `#!/bin/sh\necho "$@" > "${folder}/asked"\nprintf '%s' '${TEMPORAL}' > "$GOBIN/temporal"\n`;
    program(join(folder, 'path', 'go'), go);
    await ensureTemporalCli({ log, places, ways: [goInstall] });
    expect(readFileSync(join(folder, 'asked'), 'utf8')).toBe(
      'install github.com/temporalio/cli/cmd/temporal@v1.5.1\n',
    );
    expect(lines[0]).toMatch(/^building Temporal from source with Go, once: about 6 minutes/);
    expect(lines.at(-1)).toMatch(/^Temporal is built/);
  });

  it('tells why it failed, in the words of the tool', async () => {
    const options = { log, places, ways: [goInstall] };
    await expect(ensureTemporalCli(options)).rejects.toThrow('go install: no go program on PATH');
    program(join(folder, 'path', 'go'), '#!/bin/sh\necho "no route to the module proxy" >&2\nexit 1\n');
    await expect(ensureTemporalCli(options)).rejects.toThrow('go install: no route to the module proxy');
  });
});

describe('runTool', () => {
  it('ends a tool with all that it started when told', async () => {
    const pidFile = join(folder, 'pid');
    const controller = new AbortController();
    const tool = runTool('/bin/sh', ['-c', `sleep 600 & echo $! > ${pidFile}; wait`], {
      env: { PATH: '/usr/bin:/bin' },
      signal: controller.signal,
    });
    const pid = Number(
      await eventually('the child', () => existsSync(pidFile) && readFileSync(pidFile, 'utf8').trim()),
    );
    controller.abort(new Error('enough'));
    await expect(tool).rejects.toThrow('enough');
    await eventually('the child gone', () => !isAlive(pid));
  });
});

describe('readToolPlaces', () => {
  it('keeps the cache out of the project, and secrets out of tools', () => {
    const env = {
      PATH: ['/a', '/b'].join(delimiter),
      HOME: '/home/me',
      ANTHROPIC_API_KEY: 'secret',
      GOPROXY: 'direct',
    };
    expect(readToolPlaces(env)).toEqual({
      searchPath: ['/a', '/b'],
      cacheDir: '/home/me/.cache/drover/bin',
      env: { PATH: env.PATH, HOME: '/home/me', GOPROXY: 'direct' },
    });
    expect(readToolPlaces({ ...env, XDG_CACHE_HOME: '/x' }).cacheDir).toBe('/x/drover/bin');
  });
});
