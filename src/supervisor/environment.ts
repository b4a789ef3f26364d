/**
 * What each process gets to see of the environment. Names are let through, never held back: a secret that nobody
 * here has heard of stays where it was set.
 */
import { isSecretName } from '../config.ts';

/** The kinds of processes that a supervisor starts. */
export type RoleKind = 'api' | 'worker' | 'proxy' | 'model' | 'temporal';

const SYSTEM =
  /^(PATH|HOME|USER|LOGNAME|SHELL|TERM|TZ|LANG|LC_\w+|TMPDIR|TEMP|TMP|XDG_\w+|NODE_OPTIONS|SystemRoot|ComSpec|PATHEXT|USERPROFILE|APPDATA|LOCALAPPDATA)$/;

/** Ours, less those that hold secrets; what must be right about them is set by the supervisor explicitly. */
const OWN = /^(DROVER_\w+|TEMPORAL_NAMESPACE)$/;

const BY_ROLE: Readonly<Record<RoleKind, RegExp | undefined>> = {
  api: undefined,
  // Where sandboxes run.
  worker: /^(DOCKER_\w+)$/,
  // The way out. A proxy's URL may hold a password, which is one more reason that only this process sees it.
  proxy: /^((HTTPS?|NO|ALL)_PROXY|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR))$/i,
  model: undefined,
  temporal: undefined,
};

/** The environment of a process of this kind: what it may see of `base`, and `settings`, which win. */
export function roleEnvironment(
  kind: RoleKind,
  base: NodeJS.ProcessEnv,
  settings: Readonly<Record<string, string | undefined>> = {},
): Record<string, string> {
  const own = kind !== 'temporal';
  const mayPass = (name: string) =>
    SYSTEM.test(name) || BY_ROLE[kind]?.test(name) === true || (own && OWN.test(name) && !isSecretName(name));
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(base)) {
    if (value !== undefined && mayPass(name)) result[name] = value;
  }
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined) delete result[name];
    else result[name] = value;
  }
  return result;
}
