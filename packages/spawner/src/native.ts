import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface NativeSeccompProfile {
  readonly defaultAction: number;
  readonly architectures: readonly string[];
  readonly rules: readonly {
    readonly syscall: string;
    readonly action: number;
    readonly conditions: readonly {
      readonly argument: number;
      readonly comparison: number;
      readonly value: bigint;
      readonly valueTwo: bigint;
    }[];
  }[];
}

/** native/binding.cc. Failures are NativeError. */
export interface NativeSpawner {
  /** A sealed copy of the shim's binary in memory; a descriptor owned by the caller. */
  loadShim(path: string): number;
  /**
   * Starts a shim; `controlFd` is a connected socket, its first frame says whether the start succeeded. `cgroupFd`: a v2 directory or -1.
   * `preservedDescriptors` of this process, from 3 on, are passed on to the container's.
   */
  startShim(
    imageFd: number,
    plan: Uint8Array,
    lockFd: number,
    label: string,
    cgroupFd: number,
    preservedDescriptors: number,
  ): { readonly pid: number; readonly controlFd: number };
  /** The lock's descriptor, or null when another process holds it. */
  lockFile(path: string): number | null;
  /** True once the child is reaped, or is none of ours. */
  reapChild(pid: number): boolean;
  /** False when the process that started at these ticks is gone; 0n takes any. */
  signalProcess(pid: number, startTicks: bigint, signal: number): boolean;
  /** Takes the topmost mount at this path away, with all beneath it. */
  detachMount(path: string): boolean;
  compileSeccomp(profile: NativeSeccompProfile): {
    readonly program: Uint8Array;
    readonly unknownSyscalls: number;
  };
  /** Ends this process without taking Node down, which takes as long as a fifth of a command. For the main thread of a program with nothing left to write. */
  exitNow(code: number): never;
  /** SHA-256 of the bytes. Node's crypto takes 8 ms to load: as long as everything else that a command like `state` does. */
  sha256(bytes: Uint8Array): Buffer;
  /** Version of libseccomp, and the flags of seccomp(2) that the kernel has. */
  seccompFacts(): { readonly libraryVersion: string; readonly flags: number };
}

/** What the addon throws. */
export interface NativeError extends Error {
  readonly stage: string;
  readonly errno: number;
  readonly path: string;
}

export function isNativeError(error: unknown): error is NativeError {
  return error instanceof Error && 'stage' in error && 'errno' in error;
}

/** Directory of the addon and the shim. */
export function nativeDirectory(): string {
  return process.env.GANTRY_NATIVE_DIR ?? fileURLToPath(new URL('../../../build/native/', import.meta.url));
}

const loaded = new Map<string, NativeSpawner>();

/** Loads the addon; by its path as it is, which `require` would first have to resolve. */
export function loadNative(directory: string = nativeDirectory()): NativeSpawner {
  const known = loaded.get(directory);
  if (known !== undefined) return known;
  const addon = { exports: {} as NativeSpawner };
  process.dlopen(addon, join(directory, 'spawner.node'));
  loaded.set(directory, addon.exports);
  return addon.exports;
}
