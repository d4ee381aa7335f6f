import type { ControlFigures } from './metrics.js';
import { containerName, isLive, stateOf } from './placement.js';
import { progressOf } from './progress.js';
import type { Reign } from './reign.js';

export const noFigures: ControlFigures = {
  leader: false,
  term: 0,
  frozen: false,
  revision: 0,
  nodes: [],
  services: [],
  tasks: [],
};

/** What the leader's metrics show of its state. */
export function figuresOf(reign: Reign): ControlFigures {
  const { state, term, store } = reign;
  const views = reign.nodeViews();
  return {
    leader: true,
    term,
    frozen: false,
    revision: store.revision,
    nodes: views.map(({ id, record, status, condition }) => ({
      id,
      hostname: status?.hostname ?? record.hostname,
      condition,
    })),
    services: [...state.services.values()].map((service) => {
      const { wanted, running } = progressOf(service, state.tasks.ofService(service.id), views);
      return {
        stack: service.stack,
        name: service.spec?.name ?? '',
        wanted,
        running,
        rollout: service.updateStatus?.state ?? '',
      };
    }),
    tasks: state.tasks.all().map((task) => ({
      id: task.id,
      node: task.nodeId,
      stack: task.stack,
      service: task.serviceName,
      state: stateOf(task).replace('TASK_STATE_', '').toLowerCase(),
      container: containerName(task),
      unplaced: isLive(task) && task.nodeId === '' && task.placementMessage !== '',
    })),
  };
}
