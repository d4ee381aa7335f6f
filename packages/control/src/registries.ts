const hub = 'docker.io';
/** Other names of the hub. */
const hubNames: ReadonlySet<string> = new Set(['index.docker.io', 'registry-1.docker.io']);

export const canonicalRegistry = (registry: string): string => (hubNames.has(registry) ? hub : registry);

/** As docker reads references: the first part is a registry when it looks like a host. */
export function registryOf(image: string): string {
  const slash = image.indexOf('/');
  const first = slash === -1 ? '' : image.slice(0, slash);
  const isHost = first.includes('.') || first.includes(':') || first === 'localhost';
  return isHost ? canonicalRegistry(first) : hub;
}
