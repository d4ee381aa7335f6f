import { readFileSync } from 'node:fs';
import type { control } from '@gantry/protocol';
import { UsageFailure } from '../failures.js';
import { describeErrno } from './pairs.js';

type Environment = Readonly<Record<string, string | undefined>>;

interface DockerConfig {
  readonly auths?: Readonly<Record<string, { readonly auth?: string; readonly identitytoken?: string }>>;
  readonly credsStore?: string;
  readonly credHelpers?: Readonly<Record<string, string>>;
}

const hub = 'docker.io';
/** Names under which docker's own file keeps a registry. */
const hubKeys = ['https://index.docker.io/v1/', 'index.docker.io', 'registry-1.docker.io', hub];
const helperTimeoutMs = 30_000;

/** The registry of an image: what stands before the first slash, when it looks like a host. */
export function registryOf(image: string): string {
  const first = image.split('/')[0] ?? '';
  const isHost = image.includes('/') && (/[.:]/.test(first) || first === 'localhost');
  return !isHost || hubKeys.includes(first) ? hub : first;
}

/**
 * Credentials for the registries of these images, as `docker login` left them: in the file itself, or with a helper
 * program. A registry without any is left out: it may need none.
 */
export async function credentialsFor(
  images: readonly string[],
  environment: Environment,
): Promise<control.RegistryCredential[]> {
  const directory = environment['DOCKER_CONFIG'] ?? `${environment['HOME'] ?? ''}/.docker`;
  const path = `${directory}/config.json`;
  const config = readConfig(path);
  const registries = [...new Set(images.map(registryOf))].sort();
  const found = await Promise.all(registries.map((registry) => credentialOf(config, path, registry)));
  return found.filter((one) => one !== undefined);
}

function readConfig(path: string): DockerConfig {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageFailure(
      `--with-registry-auth: ${path} cannot be read: ${describeErrno(error)} (\`docker login\` and \`podman login --compat-auth-file\` write it)`,
    );
  }
  try {
    return JSON.parse(text) as DockerConfig;
  } catch {
    throw new UsageFailure(`--with-registry-auth: ${path} is not JSON`);
  }
}

async function credentialOf(
  config: DockerConfig,
  path: string,
  registry: string,
): Promise<control.RegistryCredential | undefined> {
  const keys = registry === hub ? hubKeys : [registry, `https://${registry}`, `http://${registry}`];
  const helperKey = keys.find((key) => config.credHelpers?.[key] !== undefined);
  const helper = helperKey === undefined ? config.credsStore : config.credHelpers?.[helperKey];
  if (helper !== undefined && helper !== '') {
    for (const key of helperKey === undefined ? keys : [helperKey]) {
      const answer = await askHelper(helper, key);
      if (answer !== undefined) return { registry, ...answer };
    }
    return undefined;
  }
  const auth = keys.map((key) => config.auths?.[key] ?? config.auths?.[`${key}/`]).find((one) => one?.auth);
  if (auth?.auth === undefined) return undefined;
  const decoded = Buffer.from(auth.auth, 'base64').toString();
  const at = decoded.indexOf(':');
  if (at <= 0)
    throw new UsageFailure(`--with-registry-auth: ${path} has no user and password for ${registry}`);
  return { registry, username: decoded.slice(0, at), password: decoded.slice(at + 1).replace(/\0+$/, '') };
}

/** docker-credential-HELPER: the registry goes in, a document comes out; exit code 1 says that it has none. */
async function askHelper(
  helper: string,
  key: string,
): Promise<{ username: string; password: string } | undefined> {
  const program = `docker-credential-${helper}`;
  const { spawn } = await import('node:child_process');
  const child = spawn(program, ['get'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    timeout: helperTimeoutMs,
  });
  const output = await new Promise<string | undefined>((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    child.stdin.on('error', () => undefined);
    child.once('error', (error) =>
      reject(new UsageFailure(`--with-registry-auth: ${program} cannot be run: ${describeErrno(error)}`)),
    );
    child.once('close', (code) => resolve(code === 0 ? text : undefined));
    child.stdin.end(key);
  });
  if (output === undefined) return undefined;
  try {
    const { Username, Secret } = JSON.parse(output) as { Username: string; Secret: string };
    return { username: Username, password: Secret };
  } catch {
    throw new UsageFailure(`--with-registry-auth: ${program} answered something else than credentials`);
  }
}
