import type { Handlers } from '@gantry/bus';
import type { node } from '@gantry/protocol';
import type { AgentContext } from '../context.js';
import { containerLogs } from '../container-logs.js';
import { refusal } from '../refuse.js';
import type { Registry } from '../registry.js';
import { taskIdOf } from './task-labels.js';

/** What this node answers to control: output of its tasks' containers, and of no other container. */
export function createClusterAgent(
  context: AgentContext,
  registry: Registry,
): Handlers<typeof node.ClusterAgent> {
  return {
    async *ReadTaskOutput({ taskId, follow, tail, sinceUnixNanos }, { signal }) {
      const container = registry.withKey(taskId);
      if (container === undefined || taskIdOf(container) !== taskId)
        throw refusal(
          'not_found',
          'ReadTaskOutput',
          taskId,
          `task ${taskId} has no container on this node (any more)`,
        );
      const wish = { follow, tail, sinceUnixNanos, untilUnixNanos: 0, stdout: true, stderr: true };
      for await (const entries of containerLogs(context, container, wish, signal)) yield { entries };
    },
  };
}
