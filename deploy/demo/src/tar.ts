/** One entry of a tar archive. Directories end with "/". */
export type TarEntry =
  | { readonly path: string; readonly kind: 'directory'; readonly mode?: number; readonly uid?: number }
  | {
      readonly path: string;
      readonly kind: 'file';
      readonly content: Uint8Array | string;
      readonly mode?: number;
      readonly uid?: number;
    }
  | { readonly path: string; readonly kind: 'symlink' | 'hardlink'; readonly target: string };

const blockSize = 512;
const typeFlags = { file: '0', hardlink: '1', symlink: '2', directory: '5' } as const;

/** Packs entries as POSIX ustar. Nothing in it depends on when or where: the same entries give the same bytes. */
export function packTar(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap((entry) => {
    const content = entry.kind === 'file' ? Buffer.from(entry.content as string) : Buffer.alloc(0);
    const padding = (blockSize - (content.length % blockSize)) % blockSize;
    return [header(entry, content.length), content, Buffer.alloc(padding)];
  });
  // Two empty blocks are the end mark.
  return Buffer.concat([...blocks, Buffer.alloc(2 * blockSize)]);
}

function header(entry: TarEntry, size: number): Buffer {
  const block = Buffer.alloc(blockSize);
  const text = (value: string, offset: number, length: number): void => {
    if (Buffer.byteLength(value) > length) throw new RangeError(`${value} does not fit a ustar header`);
    block.write(value, offset, length);
  };
  const octal = (value: number, offset: number, length: number): void =>
    text(`${value.toString(8).padStart(length - 1, '0')}\0`, offset, length);

  const { kind } = entry;
  const standardMode = kind === 'file' || kind === 'hardlink' ? 0o644 : kind === 'symlink' ? 0o777 : 0o755;
  const owner = 'uid' in entry ? (entry.uid ?? 0) : 0;
  text(entry.path, 0, 100);
  octal(('mode' in entry ? entry.mode : undefined) ?? standardMode, 100, 8);
  octal(owner, 108, 8);
  octal(owner, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  block.fill(' ', 148, 156);
  text(typeFlags[kind], 156, 1);
  if (kind === 'symlink' || kind === 'hardlink') text(entry.target, 157, 100);
  text('ustar\0' + '00', 257, 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  text(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8);
  return block;
}
