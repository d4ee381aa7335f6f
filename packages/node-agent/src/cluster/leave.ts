import { control, type node } from '@gantry/protocol';
import { reasonOf, refusal } from '../refuse.js';
import type { Cluster } from './cluster.js';
import { markLeaving, unmarkLeaving } from './member-files.js';

/** With what follows, less than the 120 s that the api waits for the answer. */
const DRAIN_MS = 90_000;
const TELL_MS = 5_000;
/** How long an agent that finishes an earlier one's leave waits for a connection to tell control by. */
const FINISH_CONNECT_MS = 10_000;

/** Ends this node's tasks, tells control and forgets the cluster. Once begun it is finished, also by the next agent. */
export async function leaveCluster(cluster: Cluster, force: boolean): Promise<node.LeaveClusterResponse> {
  const { membership, view, connected, runner } = cluster;
  const { nodeId, config } = cluster.agent.context;
  const refuse = (message: string): never => {
    throw refusal('failed_precondition', 'LeaveCluster', membership?.clusterId ?? '', message);
  };
  if (membership === undefined) return refuse('this node is in no cluster');
  const last = membership.role === 'control' && !hasOtherControl(view, nodeId);
  if (last && !force)
    refuse('this is the last control node, the cluster ends with its leaving: leave by force to do that');
  if (!connected && !force)
    refuse(
      'control cannot be told of the leaving, the node is not connected to it: try again, or leave by force',
    );
  markLeaving(config.state_dir);
  cluster.setLeaving(true);
  try {
    if (!(await runner.removeAll(DRAIN_MS)) && !force)
      refuse(`not all tasks of this node ended within ${DRAIN_MS / 1000} s: try again, or leave by force`);
    if (!last) await tellLeaving(cluster, force);
  } catch (error) {
    // An agent that stops meanwhile leaves the rest to the next.
    if (!cluster.stopped) {
      unmarkLeaving(config.state_dir);
      cluster.setLeaving(false);
    }
    throw error;
  }
  await forget(cluster, membership.clusterId);
  return {};
}

/**
 * What an agent does that finds an earlier one's mark: control may have been told, and refuses this node then. So the leave
 * goes on to its end, whoever can or cannot be told.
 */
export async function finishLeave(cluster: Cluster): Promise<void> {
  const { membership, view, link, runner } = cluster;
  const { nodeId, logger } = cluster.agent.context;
  if (membership === undefined) return;
  logger.info({ cluster: membership.clusterId }, 'goes on leaving the cluster, as an earlier agent began to');
  cluster.setLeaving(true);
  await runner.removeAll(DRAIN_MS);
  if (cluster.stopped) return;
  const last = membership.role === 'control' && !hasOtherControl(view, nodeId);
  if (!last) {
    await link?.untilHeld(FINISH_CONNECT_MS);
    if (cluster.stopped) return;
    await tellLeaving(cluster, true);
  }
  if (cluster.stopped) return;
  await forget(cluster, membership.clusterId);
}

const hasOtherControl = (view: control.ClusterView | undefined, nodeId: string): boolean =>
  view?.members.some((one) => one.role === 'NODE_ROLE_CONTROL' && one.nodeId !== nodeId) ?? false;

async function forget(cluster: Cluster, clusterId: string): Promise<void> {
  await cluster.exit();
  cluster.agent.context.logger.info({ cluster: clusterId }, 'this node has left its cluster');
}

async function tellLeaving(cluster: Cluster, force: boolean): Promise<void> {
  await cluster.reportsSettled(TELL_MS);
  try {
    const bus = cluster.link?.bus;
    if (bus === undefined) throw new Error('there is no connection to it');
    await bus.call(control.Dispatcher.methods.LeaveCluster, {}, { deadlineMs: TELL_MS });
  } catch (error) {
    if (!force) throw error;
    cluster.agent.context.logger.warn({ reason: reasonOf(error) }, 'control was not told of the leaving');
  }
}
