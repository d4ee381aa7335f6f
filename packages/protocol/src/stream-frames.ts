/**
 * Bytes of several kinds on one connection, for logs, attach and exec. Each frame has a header of eight bytes, as
 * docker's streams have, so that the first three kinds read the same:
 *
 *   0      1..3   4..7
 *   kind   zero   length of what follows, big endian
 */
export const frameKinds = {
  /** Client to server: input of the process. Any split is as good as any other. */
  stdin: 0,
  stdout: 1,
  stderr: 2,
  /** Client to server: rows and columns, two bytes each, big endian. */
  resize: 3,
  /** Server to client, last: exit code, four bytes, big endian, signed. */
  exit: 4,
  /** Server to client, last: an error reply as JSON. */
  error: 5,
  /** Client to server: no more input. Half-closing the connection says the same. */
  stdinEnd: 6,
} as const;

export type FrameKind = (typeof frameKinds)[keyof typeof frameKinds];

export const frameHeaderBytes = 8;
