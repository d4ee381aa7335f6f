/**
 * A whole node network in a process of its own, driven over Node's IPC channel: tests start it inside a network
 * namespace, and kill it. Arguments: the configuration as JSON.
 */
import { isGantryError, network } from '@gantry/protocol';
import { parseSettings, type NetworkManagerConfig } from '../config.js';
import { openKernel } from '../kernel.js';
import { NodeNetwork } from '../node-network.js';
import { createHandlers } from '../service.js';

export type MethodName = keyof typeof network.NetworkManager.methods;

export interface ProcessRequest {
  readonly id: number;
  /** A method of the contract, or one of the harness. */
  readonly method: MethodName | 'stop' | 'settle' | 'check';
  readonly request: Record<string, unknown>;
}

export interface ProcessReply {
  readonly id: number;
  readonly answer?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}

type AnyHandler = (request: unknown, context: unknown) => Promise<unknown>;

const log = (fields: Record<string, unknown>, message: string): void => {
  if (process.env['GANTRY_TEST_LOG'] === undefined) return;
  process.stderr.write(
    `${message} ${JSON.stringify(fields, (_key, value: unknown) => (value instanceof Error ? value.message : value))}\n`,
  );
};

const node = await NodeNetwork.start(
  parseSettings(JSON.parse(process.argv[2] ?? '{}') as NetworkManagerConfig),
  openKernel(),
  {
    warn: log,
    info: log,
    attached: () => undefined,
    drifted: () => undefined,
    dnsAnswered: () => undefined,
  },
);
const handlers = createHandlers(node) as unknown as Record<string, AnyHandler>;

async function run({ method, request }: ProcessRequest): Promise<unknown> {
  switch (method) {
    case 'stop':
      await node.stop();
      return {};
    case 'settle':
      await node.pool.filled();
      await node.factory.settled();
      return {};
    case 'check':
      return await node.check();
    default: {
      const { request: input, response: output } = network.NetworkManager.methods[method];
      const decoded: unknown = input.decode(input.encode(request as never));
      const answer = await handlers[method]?.(decoded, {});
      return output.decode(output.encode(answer as never));
    }
  }
}

process.on('message', (message) => {
  const request = message as ProcessRequest;
  run(request).then(
    (answer) => {
      process.send?.({ id: request.id, answer } satisfies ProcessReply, () => {
        if (request.method === 'stop') process.disconnect();
      });
    },
    (error: unknown) => {
      const code = isGantryError(error) ? error.code : 'internal';
      process.send?.({
        id: request.id,
        error: { code, message: error instanceof Error ? error.message : String(error) },
      } satisfies ProcessReply);
    },
  );
});
process.on('disconnect', () => process.exit(0));
process.send?.({ id: 0 } satisfies ProcessReply);
