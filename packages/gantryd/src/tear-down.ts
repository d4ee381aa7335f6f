import { Bus, createBusMetrics } from '@gantry/bus';
import { asGantryError, cgroup, network, node as nodeProtocol, type GantryError } from '@gantry/protocol';
import { Registry } from 'prom-client';
import { loadBusKey } from './identity.js';
import { stopNode, type RunningNode } from './node.js';

/** Containers may take long to stop as they were told to: the second Ctrl-C is for those who will not wait. */
const stopContainersDeadlineMs = 600_000;
const tearDownDeadlineMs = 30_000;

/**
 * Stops the containers, gives back what the node's services made in the kernel, and stops the services.
 *
 * In one process this is the whole node; a service alone does its own part (node-agent the containers, network-manager
 * sandboxes and bridge, cgroup-supervisor its cgroups), and `gantryd --stop` asks them in the right order. Every error
 * is collected: one part that fails must not keep the rest from going.
 */
export async function tearDownNode(node: RunningNode): Promise<GantryError[]> {
  const { config, nodeId, logger } = node.options;
  const runs = (name: string): boolean => node.services.some((service) => service.name === name);
  const errors: GantryError[] = [];
  const attempt = async (operation: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      const failure = asGantryError(error, operation);
      logger.error({ operation, reason: failure.message }, 'teardown step failed');
      errors.push(failure);
    }
  };

  const parts = ['node-agent', 'network-manager', 'cgroup-supervisor'].filter(runs);
  if (parts.length > 0) {
    const bus = await Bus.connect({
      name: 'gantryd',
      nodeId,
      natsUrl: `nats://127.0.0.1:${config.nats.port}`,
      nkeySeed: loadBusKey(config.state_dir, 'gantryd').seed,
      metrics: createBusMetrics(new Registry()),
    });
    const { StopAllContainers } = nodeProtocol.NodeAgent.methods;
    if (runs('node-agent')) {
      // A leader that is going must not decide anything about what follows, nor come back.
      await node.follower?.stop();
      await node.control?.want(false);
      await attempt('StopAllContainers', () =>
        bus.call(StopAllContainers, {}, { deadlineMs: stopContainersDeadlineMs }),
      );
      // It must not start anything again on what is being taken down.
      for (const name of ['api', 'node-agent']) {
        await node.services.find((service) => service.name === name)?.stop();
      }
    }
    const deadline = { deadlineMs: tearDownDeadlineMs };
    if (runs('network-manager')) {
      await attempt('TearDown', () => bus.call(network.NetworkManager.methods.TearDown, {}, deadline));
    }
    if (runs('cgroup-supervisor')) {
      await attempt('TearDown', () => bus.call(cgroup.CgroupSupervisor.methods.TearDown, {}, deadline));
    }
    await bus.close();
  }
  await attempt('stop services', () => stopNode(node));
  return errors;
}
