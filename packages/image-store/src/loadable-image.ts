import type { Digest } from './digest.js';
import type { ImageName } from './image-catalog.js';
import type { CheckedConfig, CheckedManifest } from './manifest.js';

/** One image that a source holds, with its documents read and verified. */
export interface LoadableImage {
  readonly manifest: CheckedManifest;
  readonly config: CheckedConfig;
  readonly documents: readonly { readonly digest: Digest; readonly bytes: Uint8Array }[];
  readonly names: readonly Omit<ImageName, 'since'>[];
}
