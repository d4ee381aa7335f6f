import { arch } from 'node:os';
import { GantryError } from '@gantry/protocol';
import type { Descriptor, Platform } from '@gantry/oci';

const machineNames: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  ia32: '386',
};
const aliases: Readonly<Record<string, { architecture: string; variant?: string }>> = {
  x86_64: { architecture: 'amd64' },
  'x86-64': { architecture: 'amd64' },
  aarch64: { architecture: 'arm64' },
  i386: { architecture: '386' },
  armhf: { architecture: 'arm', variant: 'v7' },
  armel: { architecture: 'arm', variant: 'v6' },
};

/** This node's platform. */
export function hostPlatform(): Platform {
  const machine = arch();
  return Object.freeze({ os: 'linux', architecture: machineNames[machine] ?? machine });
}

/** Reads `os/arch[/variant]`, or an architecture alone; empty means this node's. Throws `invalid_argument`. */
export function parsePlatform(text: string): Platform {
  if (text === '') return hostPlatform();
  const parts = text.toLowerCase().split('/');
  if (parts.length > 3 || !parts.every((part) => /^[a-z0-9._-]+$/.test(part)))
    throw new GantryError({
      code: 'invalid_argument',
      operation: 'PullImage',
      object: text,
      message: `${JSON.stringify(text)} is not a platform: it is written os/arch or os/arch/variant, for instance linux/arm64`,
    });
  const [first = '', second, third] = parts;
  const [os, name, variant] = second === undefined ? ['linux', first, undefined] : [first, second, third];
  const alias = aliases[name];
  const chosen = variant ?? alias?.variant;
  return Object.freeze({
    os,
    architecture: alias?.architecture ?? name,
    ...(chosen === undefined ? {} : { variant: chosen }),
  });
}

/** `linux/arm64/v8` */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined || variant === '' ? [] : [variant])].join('/');
}

/** The variant that a platform has when none is written. */
function variantOf({ architecture, variant }: Platform): string {
  if (variant !== undefined && variant !== '') return variant;
  return architecture === 'arm64'
    ? 'v8'
    : architecture === 'arm'
      ? 'v7'
      : architecture === 'amd64'
        ? 'v1'
        : '';
}

/** How well an image for `offered` runs on `wanted`: 0 not at all, else the higher the better. */
function suitability(offered: Platform, wanted: Platform): number {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return 0;
  const [have, need] = [variantOf(offered), variantOf(wanted)];
  if (have === need) return 100;
  const [haveLevel, needLevel] = [Number(have.slice(1)), Number(need.slice(1))];
  // Processors run what was built for their predecessors.
  return haveLevel < needLevel ? 1 + haveLevel : 0;
}

/** True when an image for `offered` is what was asked for. */
export function matchesPlatform(offered: Platform, wanted: Platform): boolean {
  return suitability(offered, wanted) > 0;
}

/** The manifest of an index that suits best; undefined when none does. */
export function choosePlatform(manifests: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  let best: Descriptor | undefined;
  let bestScore = 0;
  for (const manifest of manifests) {
    if (manifest.platform === undefined) continue;
    const score = suitability(manifest.platform, wanted);
    if (score > bestScore) [best, bestScore] = [manifest, score];
  }
  const [only, ...others] = manifests;
  // Single images are often put into an index without saying what they are for.
  return (
    best ?? (only !== undefined && others.length === 0 && only.platform === undefined ? only : undefined)
  );
}
