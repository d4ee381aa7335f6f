import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface NativeFiles {
  /** Null: there is no such file. Throws with `errno` for everything else. */
  readInRoot(root: string, path: string, limitBytes: number): Buffer | null;
  isOpaque(directory: string): boolean;
}

const directory =
  process.env.GANTRY_NATIVE_DIR ?? fileURLToPath(new URL('../../../build/native/', import.meta.url));

/** Static program that `--init` runs as process 1. */
export const initProgram = join(directory, 'gantry-init');

/** The addon of this package: openat2 and overlay's attributes, which Node does not have. */
export const nativeFiles = createRequire(import.meta.url)(join(directory, 'node-agent.node')) as NativeFiles;
