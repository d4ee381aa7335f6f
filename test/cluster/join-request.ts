// A join as a node makes it, written by hand: what a wrong node would send.
import { createRequest } from '@gantry/membership/certificates';
import type { control } from '@gantry/protocol';
import type { ApiAnswer, TestCluster } from '@gantry/test-harness';
import { nkeys } from 'nats';

/** What is used of nkeys, for which the nats package has no types. */
const keyTools = nkeys as { createUser(): { getPublicKey(): string } };

export async function askToJoin(
  cluster: TestCluster,
  token: string,
  changes: Partial<control.JoinNodeRequest> = {},
): Promise<ApiAnswer> {
  const nodeId = changes.nodeId ?? 'feedfeedfeedfeed';
  const { request } = await createRequest(nodeId);
  const body = {
    token,
    nodeId,
    certificateRequest: request,
    busKey: keyTools.createUser().getPublicKey(),
    address: '198.18.0.99',
    leafPort: 4323,
    routePort: 4324,
    apiPort: 4330,
    hostname: 'stranger',
    version: (await cluster.get<{ version: string }>('/v1/info')).version,
    clockUnixMs: Date.now(),
    ...changes,
  };
  return cluster.host(0).api('POST', '/v1/cluster/members', body);
}
