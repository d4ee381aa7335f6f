import { image } from '@gantry/protocol';
import type { Container } from './container.js';
import type { AgentContext } from './context.js';

/** Bytes the container has written into its own layer; 0 when nobody can tell. */
export async function writableBytes(context: AgentContext, container: Container): Promise<number> {
  return context.bus
    .call(image.ImageStore.methods.DescribeRootfs, { containerId: container.id, limit: 1 })
    .then(
      (facts) => facts.writableBytes,
      () => 0,
    );
}
