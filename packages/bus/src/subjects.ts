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
