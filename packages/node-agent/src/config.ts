/** What the node agent is told by the node's configuration. */
export interface NodeAgentConfig {
  /** Holds `containers/` and `volumes/`. */
  readonly state_dir: string;
  /** Shared with the other services; the agent keeps nothing there. */
  readonly run_dir: string;
  /** Milliseconds between two full comparisons of records with the kernel. */
  readonly reconcile_interval_ms: number;
  /** Seconds a container is given to stop unless it says otherwise. */
  readonly stop_timeout_seconds: number;
  /** Log rotation of containers that do not choose. */
  readonly log_max_size_bytes: number;
  readonly log_max_files: number;
  /** Events kept for clients that ask for the past. */
  readonly kept_events: number;
  /** Where this node is found as member of a cluster; the node's section `cluster` and its api's port. */
  readonly cluster: ClusterSettings;
}

/** Where a node is found as member of a cluster. */
export interface ClusterSettings {
  /** Address under which other nodes reach it; empty: that of the default route's interface. */
  readonly address: string;
  /** Ports of nats-server for leaves and routes, and of the api over TLS. */
  readonly leaf_port: number;
  readonly route_port: number;
  readonly api_port: number;
}

export const nodeAgentConfigSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    state_dir: { type: 'string', default: '/var/lib/gantry', description: 'Directory of durable state.' },
    run_dir: { type: 'string', default: '/run/gantry', description: 'Directory of run-time state.' },
    reconcile_interval_ms: {
      type: 'integer',
      minimum: 1000,
      default: 30_000,
      description: 'Milliseconds between two full comparisons of container records with the kernel.',
    },
    stop_timeout_seconds: {
      type: 'integer',
      minimum: 0,
      default: 10,
      description: 'Seconds between the stop signal and SIGKILL unless the container says otherwise.',
    },
    log_max_size_bytes: {
      type: 'integer',
      minimum: 4096,
      default: 10 * 1024 * 1024,
      description: 'Size at which the log of a container that does not choose is rotated.',
    },
    log_max_files: {
      type: 'integer',
      minimum: 1,
      maximum: 100,
      default: 5,
      description: 'Log files kept of a container that does not choose.',
    },
    kept_events: {
      type: 'integer',
      minimum: 0,
      maximum: 100_000,
      default: 1000,
      description: 'Events kept in memory for clients that ask for the past.',
    },
  },
} as const;
