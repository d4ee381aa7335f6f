import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createConnection, createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import dns from 'dns-packet';
import fc from 'fast-check';
import { answerLocally, readQuery } from './dns-answer.js';
import { FrameReader, HostResolvers, asFrame, parseResolvers, type Upstream } from './dns-forward.js';
import { DnsServer, type DnsOutcome } from './dns-server.js';
import { formatAddress, isInSubnet, parseSubnet, type Address, type Subnet } from './ipv4.js';
import { NameTable } from './names.js';

const subnet = parseSubnet('10.88.0.0/16') as Subnet;
const isOurs = (address: Address): boolean => isInSubnet(subnet, address);
const web = subnet.network + 5;

function ask(names: NameTable, name: string, type: dns.RecordType): dns.DecodedPacket | undefined {
  const query = readQuery(
    dns.encode({ type: 'query', id: 7, flags: dns.RECURSION_DESIRED, questions: [{ type, name }] }),
  );
  assert.ok(query);
  const answer = answerLocally(query, names, isOurs);
  return answer === undefined ? undefined : dns.decode(answer);
}

/** The decoder gives it, its types do not. */
function codeOf(packet: dns.DecodedPacket | undefined): string | undefined {
  return (packet as { rcode?: string } | undefined)?.rcode;
}

function tableWith(...entries: [string, Address, string[]][]): NameTable {
  const names = new NameTable();
  for (const [id, address, list] of entries) names.set(id, address, { names: list });
  return names;
}

test('a name answers with the addresses of every container that has it, in any case', () => {
  const names = tableWith(['a', web, ['Web', 'app']], ['b', web + 1, ['app']]);
  assert.deepEqual(
    ask(names, 'wEb', 'A')?.answers?.map((answer) => 'data' in answer && answer.data),
    ['10.88.0.5'],
  );
  assert.deepEqual(
    ask(names, 'APP', 'A')
      ?.answers?.map((answer) => 'data' in answer && answer.data)
      .sort(),
    ['10.88.0.5', '10.88.0.6'],
  );
  names.delete('a');
  assert.equal(ask(names, 'web', 'A'), undefined, 'unknown names are for the resolvers outside');
});

test('a known name without an address of the asked type has an empty answer and no error', () => {
  const names = tableWith(['a', web, ['web']]);
  for (const type of ['AAAA', 'MX', 'TXT'] as const) {
    const answer = ask(names, 'web', type);
    assert.equal(codeOf(answer), 'NOERROR');
    assert.deepEqual(answer?.answers, []);
  }
});

test('an address of the subnet answers with its container, or as not existing, and never outside', () => {
  const names = tableWith(['a', web, ['web', 'alias']]);
  const found = ask(names, '5.0.88.10.in-addr.arpa', 'PTR');
  assert.deepEqual(
    found?.answers?.map((answer) => 'data' in answer && answer.data),
    ['web'],
  );
  assert.equal(codeOf(ask(names, '9.0.88.10.in-addr.arpa', 'PTR')), 'NXDOMAIN');
  assert.equal(ask(names, '1.1.1.1.in-addr.arpa', 'PTR'), undefined);
});

test('the newest names of a container count, and only its own go with it', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          id: fc.constantFrom('a', 'b', 'c'),
          list: fc.array(fc.constantFrom('x', 'Y', 'z'), { maxLength: 3 }),
          gone: fc.boolean(),
        }),
        { maxLength: 30 },
      ),
      (steps) => {
        const names = new NameTable();
        const model = new Map<string, string[]>();
        for (const { id, list, gone } of steps) {
          if (gone) {
            names.delete(id);
            model.delete(id);
          } else {
            names.set(id, id.charCodeAt(0), { names: list });
            model.set(
              id,
              list.map((name) => name.toLowerCase()),
            );
          }
        }
        for (const name of ['x', 'y', 'z']) {
          const expected = [...model]
            .filter(([, list]) => list.includes(name))
            .map(([id]) => id.charCodeAt(0));
          assert.deepEqual((names.addressesOf(name) ?? []).sort(), expected.sort());
        }
      },
    ),
  );
});

test('no bytes make the reader throw', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => void readQuery(Buffer.from(bytes))));
  const valid = dns.encode({ type: 'query', id: 1, questions: [{ type: 'A', name: 'some.name' }] });
  fc.assert(
    fc.property(fc.nat(valid.length - 1), fc.nat(255), (at, value) => {
      const bytes = Buffer.from(valid);
      bytes[at] = value;
      const query = readQuery(bytes);
      if (query !== undefined) answerLocally(query, tableWith(['a', web, ['some.name']]), isOurs);
    }),
  );
});

test('a TCP stream is cut into the messages that were put in, however it arrives', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }),
      fc.integer({ min: 1, max: 50 }),
      (messages, step) => {
        const stream = Buffer.concat(messages.map((message) => asFrame(Buffer.from(message))));
        const reader = new FrameReader();
        const read: Buffer[] = [];
        for (let at = 0; at < stream.length; at += step)
          read.push(...reader.push(stream.subarray(at, at + step)));
        assert.deepEqual(
          read.map((frame) => [...frame]),
          messages.map((message) => [...message]),
        );
      },
    ),
  );
});

test('resolvers of the host are read without ourselves', () => {
  assert.deepEqual(
    parseResolvers('# x\nnameserver 192.0.2.53\n nameserver ::1 # y\nsearch a\nnameserver nonsense\n'),
    ['192.0.2.53', '::1'],
  );
  assert.deepEqual(new HostResolvers('/nonexistent', []).list(), []);
});

/** A server on loopback that takes loopback for its subnet, and the outcomes it counted. */
async function withServer(
  upstreams: Upstream[],
  names: NameTable,
  use: (port: number, outcomes: DnsOutcome[]) => Promise<void>,
): Promise<void> {
  const outcomes: DnsOutcome[] = [];
  const port = await freePort();
  const server = new DnsServer({
    address: '127.0.0.1',
    port,
    names,
    isOurs: (address) => isOurs(address) || formatAddress(address).startsWith('127.'),
    upstreamsFor: () => upstreams,
    count: (outcome) => outcomes.push(outcome),
  });
  await server.start();
  try {
    await use(port, outcomes);
  } finally {
    await server.stop();
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

async function overUdp(port: number, packet: dns.Packet): Promise<dns.DecodedPacket> {
  const socket = createSocket('udp4');
  try {
    socket.send(dns.encode(packet), port, '127.0.0.1');
    const [bytes] = (await once(socket, 'message', { signal: AbortSignal.timeout(8_000) })) as [Buffer];
    return dns.decode(bytes);
  } finally {
    socket.close();
  }
}

/** A resolver that answers everything with `count` addresses over UDP. */
async function startUpstream(count: number): Promise<{ socket: Socket; upstream: Upstream }> {
  const socket = createSocket('udp4');
  socket.on('message', (bytes, from) => {
    const query = dns.decode(bytes);
    const [question] = query.questions ?? [];
    const answers: dns.Answer[] = Array.from({ length: count }, (_, index) => ({
      type: 'A',
      name: question?.name ?? '',
      ttl: 60,
      data: `192.0.2.${index % 250}`,
    }));
    socket.send(
      dns.encode({ type: 'response', id: query.id ?? 0, questions: query.questions ?? [], answers }),
      from.port,
      from.address,
    );
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { socket, upstream: { address: '127.0.0.1', port: socket.address().port } };
}

test('names outside are asked of the resolvers in turn, and the answer keeps the asker’s id', async () => {
  const { socket, upstream } = await startUpstream(1);
  const dead: Upstream = { address: '127.0.0.1', port: await freePort() };
  try {
    await withServer([dead, upstream], new NameTable(), async (port, outcomes) => {
      const answer = await overUdp(port, {
        type: 'query',
        id: 4711,
        questions: [{ type: 'A', name: 'example.org' }],
      });
      assert.equal(answer.id, 4711);
      assert.deepEqual(
        answer.answers?.map((one) => 'data' in one && one.data),
        ['192.0.2.0'],
      );
      assert.deepEqual(outcomes, ['forwarded']);
    });
  } finally {
    socket.close();
  }
});

test('a resolver that was silent is not waited for as long the next time', async () => {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  try {
    await withServer(
      [{ address: '127.0.0.1', port: socket.address().port }],
      new NameTable(),
      async (port, outcomes) => {
        const timed = async (): Promise<number> => {
          const started = performance.now();
          const answer = await overUdp(port, {
            type: 'query',
            id: 1,
            questions: [{ type: 'A', name: 'example.org' }],
          });
          assert.equal(codeOf(answer), 'SERVFAIL');
          return performance.now() - started;
        };
        assert.ok((await timed()) > 1_900);
        assert.ok((await timed()) < 1_500);
        assert.deepEqual(outcomes, ['failed', 'failed']);
      },
    );
  } finally {
    socket.close();
  }
});

test('an answer too long for UDP is cut with the mark to come back over TCP', async () => {
  const { socket, upstream } = await startUpstream(60);
  try {
    await withServer([upstream], new NameTable(), async (port) => {
      const short = await overUdp(port, {
        type: 'query',
        id: 1,
        questions: [{ type: 'A', name: 'many.example' }],
      });
      assert.ok(short.flag_tc);
      const long = await overUdp(port, {
        type: 'query',
        id: 1,
        questions: [{ type: 'A', name: 'many.example' }],
        additionals: [
          { type: 'OPT', name: '.', udpPayloadSize: 4096, flags: 0, options: [] } as unknown as dns.Answer,
        ],
      });
      assert.equal(long.answers?.length, 60);
    });
  } finally {
    socket.close();
  }
});

test('questions over TCP are answered, several on one connection', async () => {
  await withServer([], tableWith(['a', web, ['web']], ['b', web + 1, ['db']]), async (port) => {
    const socket = createConnection({ port, host: '127.0.0.1' });
    const frames = new FrameReader();
    const answers: string[] = [];
    socket.write(
      Buffer.concat(
        ['web', 'db'].map((name, id) =>
          asFrame(dns.encode({ type: 'query', id, questions: [{ type: 'A', name }] })),
        ),
      ),
    );
    while (answers.length < 2) {
      const [chunk] = (await once(socket, 'data', { signal: AbortSignal.timeout(5_000) })) as [Buffer];
      for (const frame of frames.push(chunk))
        answers.push(String((dns.decode(frame).answers?.[0] as { data: string }).data));
    }
    socket.destroy();
    assert.deepEqual(answers.sort(), ['10.88.0.5', '10.88.0.6']);
  });
});

test('an asker that takes no answers gets no more made for it, and all of them once it reads', async () => {
  const names = new NameTable();
  for (let index = 0; index < 200; index += 1) names.set(String(index), web + index, { names: ['crowd'] });
  const questions = 8_000;
  await withServer([], names, async (port, outcomes) => {
    const socket = createConnection({ port, host: '127.0.0.1' });
    const query = asFrame(dns.encode({ type: 'query', id: 1, questions: [{ type: 'A', name: 'crowd' }] }));
    socket.write(Buffer.concat(Array.from({ length: questions }, () => query)));
    // The kernel's buffers take some megabytes.
    let before = -1;
    while (outcomes.length !== before) {
      before = outcomes.length;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.ok(before < questions, `${before} answers of 3 KiB were made for nobody`);
    const frames = new FrameReader();
    let answers = 0;
    while (answers < questions) {
      const [chunk] = (await once(socket, 'data', { signal: AbortSignal.timeout(5_000) })) as [Buffer];
      answers += frames.push(chunk).length;
    }
    socket.destroy();
  });
});

test('without a resolver the asker is told of the failure at once', async () => {
  await withServer([], new NameTable(), async (port, outcomes) => {
    const answer = await overUdp(port, {
      type: 'query',
      id: 1,
      questions: [{ type: 'A', name: 'example.org' }],
    });
    assert.equal(codeOf(answer), 'SERVFAIL');
    assert.deepEqual(outcomes, ['refused']);
  });
});
