/** Environments (wire-api section 8): where an agent's tools run. They have no versions; an update is made in place. */
import { z } from 'zod';
import { invalidRequest } from './error.ts';
import { mergeMetadata, metadataParams, metadataPatch, sameJson, text, type Metadata } from './fields.ts';

/** What a sandbox may reach. */
type Networking = { type: 'unrestricted' } | LimitedNetworking;

/** Only what is listed. */
interface LimitedNetworking {
  type: 'limited';
  allowed_hosts: string[];
  allow_mcp_servers: boolean;
  allow_package_managers: boolean;
}

/** The package managers, in the order in which they install. */
const PACKAGE_MANAGERS = ['apt', 'cargo', 'gem', 'go', 'npm', 'pip'] as const;

/** What is installed before the agent starts. */
type Packages = { type: 'packages' } & Record<(typeof PACKAGE_MANAGERS)[number], string[]>;

/** A sandbox that the server makes. */
interface CloudConfig {
  type: 'cloud';
  networking: Networking;
  packages: Packages;
}

/** How sandboxes of an environment are made. `self_hosted`: by a worker of the customer's own. */
type EnvironmentConfig = CloudConfig | { type: 'self_hosted' };

/** An environment, as it is kept and shown. */
export interface Environment {
  id: string;
  type: 'environment';
  name: string;
  description: string | null;
  config: EnvironmentConfig;
  metadata: Metadata;
  scope: 'organization';
  created_at: string;
  updated_at: string;
  archived_at: string | null;
}

const host = z.string().regex(/^(?:\*\.)?[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?$/, {
  error: 'must be a host name, with *. before it for its subdomains',
});

/** A name that starts with a dash would reach the package manager as an option. */
const packageName = text(512, 1).refine((name) => /^[^\s-][^\p{Cc}]*$/u.test(name), {
  error: 'must be a package name with an optional version',
});

const packageList = z.array(packageName).max(1000).nullish();

const cloud = z.strictObject({
  type: z.literal('cloud'),
  networking: z
    .discriminatedUnion('type', [
      z.strictObject({ type: z.literal('unrestricted') }),
      z.strictObject({
        type: z.literal('limited'),
        allowed_hosts: z.array(host).max(1000).nullish(),
        allow_mcp_servers: z.boolean().nullish(),
        allow_package_managers: z.boolean().nullish(),
      }),
    ])
    .nullish(),
  packages: z
    .strictObject({
      type: z.literal('packages').optional(),
      apt: packageList,
      cargo: packageList,
      gem: packageList,
      go: packageList,
      npm: packageList,
      pip: packageList,
    })
    .nullish(),
});

const config = z.discriminatedUnion('type', [cloud, z.strictObject({ type: z.literal('self_hosted') })]);

const name = text(256, 1);

const shared = {
  config: config.nullish(),
  description: text(2048).nullish(),
  scope: z.literal('organization', { error: "this server supports only the scope 'organization'" }).nullish(),
};

/** Body of `POST /v1/environments`. */
export const environmentCreateParams = z.strictObject({
  name,
  ...shared,
  metadata: metadataParams.nullish(),
});

/** Body of `POST /v1/environments/{id}`. */
export const environmentUpdateParams = z.strictObject({
  name: name.nullish(),
  ...shared,
  metadata: metadataPatch.nullish(),
});

/** Body of `POST /v1/environments`. */
export type EnvironmentCreateParams = z.infer<typeof environmentCreateParams>;

/** Body of `POST /v1/environments/{id}`. */
export type EnvironmentUpdateParams = z.infer<typeof environmentUpdateParams>;

type ConfigParams = z.infer<typeof config>;

const metadataRules = { emptyDeletes: true, errorCode: 'invalid_metadata' };

/** A new environment. Throws 400 when its parts do not fit together. */
export function createEnvironment(
  params: EnvironmentCreateParams,
  { id, now }: { readonly id: string; readonly now: string },
): Environment {
  return {
    id,
    type: 'environment',
    name: params.name,
    description: params.description ?? null,
    config: resolveConfig(params.config ?? { type: 'cloud' }),
    metadata: mergeMetadata({}, params.metadata, metadataRules),
    scope: 'organization',
    created_at: now,
    updated_at: now,
    archived_at: null,
  };
}

/** The environment after an update: the argument itself when nothing changes. Left out and null keep what is there. */
export function updateEnvironment(
  environment: Environment,
  params: EnvironmentUpdateParams,
  now: string,
): Environment {
  if (environment.archived_at !== null) {
    throw invalidRequest('Cannot modify archived environment', { errorCode: 'environment_archived' });
  }
  if (params.config && params.config.type !== environment.config.type) {
    throw invalidRequest(
      `config.type: cannot change from '${environment.config.type}' to '${params.config.type}'`,
      { errorCode: 'invalid_config_type_change' },
    );
  }
  const changed: Environment = {
    ...environment,
    name: params.name ?? environment.name,
    // The one field here that null clears; an empty text is kept as it is.
    description: params.description === undefined ? environment.description : params.description,
    config: params.config ? resolveConfig(params.config, environment.config) : environment.config,
    metadata: mergeMetadata(environment.metadata, params.metadata, metadataRules),
  };
  return sameJson(changed, environment) ? environment : { ...changed, updated_at: now };
}

/** The environment, archived. Archiving twice changes nothing. */
export function archiveEnvironment(environment: Environment, now: string): Environment {
  return environment.archived_at === null
    ? { ...environment, archived_at: now, updated_at: now }
    : environment;
}

function resolveConfig(params: ConfigParams, current?: EnvironmentConfig): EnvironmentConfig {
  if (params.type === 'self_hosted') return { type: 'self_hosted' };
  const base = current?.type === 'cloud' ? current : undefined;
  const resolved: CloudConfig = {
    type: 'cloud',
    networking: resolveNetworking(params.networking, base?.networking),
    packages: resolvePackages(params.packages, base?.packages),
  };
  checkInstallable(resolved);
  return resolved;
}

function resolveNetworking(
  params: z.infer<typeof cloud>['networking'],
  current: Networking = { type: 'unrestricted' },
): Networking {
  if (!params) return current;
  if (params.type === 'unrestricted') return { type: 'unrestricted' };
  const base = current.type === 'limited' ? current : undefined;
  return {
    type: 'limited',
    allowed_hosts: params.allowed_hosts ?? base?.allowed_hosts ?? [],
    allow_mcp_servers: params.allow_mcp_servers ?? base?.allow_mcp_servers ?? false,
    allow_package_managers: params.allow_package_managers ?? base?.allow_package_managers ?? false,
  };
}

function resolvePackages(params: z.infer<typeof cloud>['packages'], current?: Packages): Packages {
  const list = (manager: (typeof PACKAGE_MANAGERS)[number]) => params?.[manager] ?? current?.[manager] ?? [];
  return {
    type: 'packages',
    apt: list('apt'),
    cargo: list('cargo'),
    gem: list('gem'),
    go: list('go'),
    npm: list('npm'),
    pip: list('pip'),
  };
}

function checkInstallable({ networking, packages }: CloudConfig): void {
  if (networking.type === 'unrestricted' || networking.allow_package_managers) return;
  if (PACKAGE_MANAGERS.every((manager) => packages[manager].length === 0)) return;
  throw invalidRequest(
    'config.packages: with limited networking, packages need networking.allow_package_managers to be true',
  );
}
