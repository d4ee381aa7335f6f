import { setTimeout as sleep } from 'node:timers/promises';
import { GantryError } from '@gantry/protocol';
import { createInbox, type NatsConnection } from 'nats';

/** How long the servers of the control nodes have to answer, milliseconds: one that is busy has leaves all the same. */
const answerMs = 600;
/** Each control node's server answers these for itself: who it is, and which leaves are connected to it. */
const whoSubject = '$SYS.REQ.SERVER.PING';
const leavesSubject = '$SYS.REQ.SERVER.PING.LEAFZ';
/** As gantryd names a node's nats-server. */
const namePrefix = 'gantry-';

interface ServerAnswer {
  readonly server?: { readonly name?: string };
  readonly data?: { readonly leafs?: readonly { readonly name?: string }[] };
}

/**
 * Ids of the nodes whose nats-server is connected to the cluster: their machines are there, whatever Gantry's own processes
 * on them do. Asks with the own node's connection in the account SYS, and does not wait any longer once the servers of all
 * control nodes have answered. Throws `unavailable` when its server does not answer:
 * then nothing is known.
 */
export async function connectedNodes(
  sys: NatsConnection,
  controlNodes: number,
): Promise<ReadonlySet<string>> {
  const nodes = new Set<string>();
  const add = (name: string | undefined): void => {
    if (name?.startsWith(namePrefix) === true) nodes.add(name.slice(namePrefix.length));
  };
  let answers = 0;
  const complete = new AbortController();
  if (!sys.isClosed()) {
    const inbox = createInbox();
    const subscription = sys.subscribe(inbox, {
      callback: (error, message) => {
        if (error !== null || message.data.length === 0) return;
        const { server, data } = message.json<ServerAnswer>();
        add(server?.name);
        for (const { name } of data?.leafs ?? []) add(name);
        answers += 1;
        // Each answers both questions.
        if (answers >= 2 * controlNodes) complete.abort();
      },
    });
    sys.publish(whoSubject, undefined, { reply: inbox });
    sys.publish(leavesSubject, undefined, { reply: inbox });
    await sleep(answerMs, undefined, { signal: complete.signal }).catch(() => undefined);
    if (!sys.isClosed()) subscription.unsubscribe();
  }
  // The own server answers both.
  if (answers >= 2) return nodes;
  throw new GantryError({
    code: 'unavailable',
    operation: 'ask who is connected',
    object: 'nats-server',
    message: 'nats-server of this control node does not say who is connected',
  });
}
