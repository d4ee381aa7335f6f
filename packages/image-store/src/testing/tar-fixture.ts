/** One entry of a tar made by hand, also of one that no honest tool would make. */
export interface TarEntry {
  readonly name: string | Buffer;
  readonly type?: 'file' | 'dir' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo' | 'odd';
  readonly content?: Buffer | string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly link?: string;
  readonly major?: number;
  readonly minor?: number;
  /** Records of a pax header before the entry. */
  readonly pax?: Readonly<Record<string, string | Buffer>>;
  /** What the header says, when it lies. */
  readonly statedSize?: number;
}

const typeFlags = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  dir: '5',
  fifo: '6',
  odd: 'R',
} as const;

/** A tar archive, uncompressed, with its end. */
export function makeTar(entries: readonly TarEntry[], options: { readonly end?: boolean } = {}): Buffer {
  const parts = entries.flatMap((entry) => [
    ...(entry.pax === undefined ? [] : paxHeader(entry.pax)),
    ...member(entry),
  ]);
  return Buffer.concat([...parts, ...(options.end === false ? [] : [Buffer.alloc(1024)])]);
}

function member(entry: TarEntry): Buffer[] {
  const content = Buffer.from(entry.content ?? '');
  return [header(entry, typeFlags[entry.type ?? 'file'], content.length), ...padded(content)];
}

function padded(content: Buffer): Buffer[] {
  return content.length === 0 ? [] : [content, Buffer.alloc((512 - (content.length % 512)) % 512)];
}

function paxHeader(records: Readonly<Record<string, string | Buffer>>): Buffer[] {
  const lines = Object.entries(records).map(([key, value]) => {
    const body = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
    let length = body.length + 1;
    while (String(length).length + body.length !== length) length = String(length).length + body.length;
    return Buffer.concat([Buffer.from(String(length)), body]);
  });
  const content = Buffer.concat(lines);
  return [header({ name: 'pax' }, 'x', content.length), ...padded(content)];
}

function header(entry: TarEntry, flag: string, length: number): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, offset: number, width: number): void => {
    block.write(value.toString(8).padStart(width - 1, '0'), offset, 'latin1');
  };
  Buffer.from(entry.name).copy(block, 0, 0, 100);
  octal(entry.mode ?? (entry.type === 'dir' ? 0o755 : 0o644), 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  octal(entry.statedSize ?? length, 124, 12);
  octal(entry.mtime ?? 1_600_000_000, 136, 12);
  block.write(flag, 156, 'latin1');
  block.write(entry.link ?? '', 157, 100, 'utf8');
  block.write('ustar\0' + '00', 257, 'latin1');
  octal(entry.major ?? 0, 329, 8);
  octal(entry.minor ?? 0, 337, 8);
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
