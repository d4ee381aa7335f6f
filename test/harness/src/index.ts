export { type ApiAnswer } from './api-request.js';
export { mustRun, runCommand, type CommandOptions, type CommandResult } from './command.js';
export { readHostState, type HostState, type Territory } from './host-state.js';
export { boxImage, fullImage, parseFacts, testImage } from './images.js';
export { NetworkNamespace } from './network-namespace.js';
export { assertNothingLeft, describeOnNode, isRoot, skipUnlessRoot } from './node-suite.js';
export { takeSlot, type Slot } from './slot.js';
export { PrivateNetwork, type LanPlace } from './private-network.js';
export { TestCluster, type HostRole, type TestClusterOptions } from './test-cluster.js';
export { describeOnCluster } from './cluster-suite.js';
export {
  TestNode,
  freePort,
  modes,
  separateProcesses,
  type ContainerFacts,
  type Mode,
  type TestNodeOptions,
} from './test-node.js';
export { eventually } from './wait.js';
export {
  TestPrometheus,
  clusterConfiguration,
  staticConfiguration,
  type Alert,
  type Sample,
  type TestPrometheusOptions,
} from './prometheus.js';
export { findEmptyPanels, needsCluster, readPanelQueries, type PanelQuery } from './dashboards.js';
