/** NATS subject grammar, one place: see DESIGN section 4. A node id is a token without dots. */

export function methodSubject(nodeId: string, service: string, method: string): string {
  return `gantry.v1.node.${nodeId}.${service}.${method}`;
}

export function serviceSubjects(nodeId: string, service: string): string {
  return `gantry.v1.node.${nodeId}.${service}.>`;
}

export function eventSubject(nodeId: string, kind: string): string {
  return `gantry.v1.event.${nodeId}.${kind}`;
}

/** Each service's replies come under a prefix of its own, so that no other user can listen to them. */
export function inboxPrefix(service: string): string {
  return `_INBOX_${service}`;
}

/** What a node asks of the cluster's control; nats-server holds each node to its own id. */
export function controlSubject(callerNodeId: string, method: string): string {
  return `gantry.v1.control.${callerNodeId}.${method}`;
}

/** The same method, asked by whichever node: what the leader listens to. */
export function controlSubjects(method: string): string {
  return controlSubject('*', method);
}

/** What control asks of one node's agent. */
export function agentSubject(nodeId: string, method: string): string {
  return `gantry.v1.agent.${nodeId}.${method}`;
}

/** The node at the other end: the one that asked, from a subject of control; the one asked, from a subject of an agent. */
export function callerNodeOf(subject: string): string {
  return subject.split('.')[3] ?? '';
}

/** Inboxes in the account CLUSTER name their node, as a token of its own: no member can listen to another's. */
export const agentInbox = (nodeId: string): string => `_INBOX.agent.${nodeId}`;
export const controlInbox = (nodeId: string): string => `_INBOX.control.${nodeId}`;

/**
 * Where control on one node hears one agent: below a name of the agent's own, so that none can speak for another. Ids of
 * inboxes would not be secret enough: the client makes them one after the other.
 */
export const controlInboxFor = (nodeId: string, agentNodeId: string): string =>
  `${controlInbox(nodeId)}.${agentNodeId}`;

/** Where control hears the store: no agent may speak there. */
export const storeInbox = (nodeId: string): string => `_INBOX.store.${nodeId}`;
