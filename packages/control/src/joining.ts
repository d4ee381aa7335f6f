import type { ClusterState, Committer } from './state.js';

/** What lets nodes and people in: looks at the state, writes through the committer, reads the cluster's own keys. */
export interface JoiningContext {
  readonly state: ClusterState;
  readonly committer: Committer;
  /** Wall clock, milliseconds. */
  readonly nowMs: () => number;
  /** Release of Gantry on this control node. */
  readonly version: string;
  /** Holds `cluster/`, with the authority's certificate and key. */
  readonly stateDirectory: string;
  /** Whether a node has renewed its lease: from then on nobody joins again with its token. */
  readonly hasJoined: (nodeId: string) => boolean;
  /** Throws when there is no use for this node as a control node. */
  readonly checkControlJoin: (nodeId: string) => void;
}
