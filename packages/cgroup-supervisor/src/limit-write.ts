/** One value for one file of a container's cgroup. */
export interface LimitWrite {
  readonly controller: string;
  readonly file: string;
  readonly value: string;
  /** The property below the runtime-spec's `linux.resources`, named when the kernel refuses: "memory.limit". */
  readonly field: string;
  /** A fresh cgroup already has this value, so that the file may as well not exist. */
  readonly isDefault: boolean;
  /** The value is only our own default (swap as large as memory): let go when the file does not exist. */
  readonly isOptional?: boolean;
  /** What takes the file's place on a kernel that does not have it. */
  readonly instead?: { readonly file: string; readonly value: string };
  /** The whole value, where this one leaves a part of the file as it is. */
  readonly complete?: (current: string) => string;
  /** From the file's text to the value that writing this one replaces; absent: the whole text. */
  readonly replaced?: (current: string) => string;
}

/** For files of lines "key value": the line of one key, or what stands for its absence. */
export function lineOf(key: string, absent: string): (current: string) => string {
  return (current) =>
    current
      .split('\n')
      .find((line) => line.startsWith(`${key} `))
      ?.trim() ?? `${key} ${absent}`;
}
