/** What the spawner is configured with: directories only. */
export interface SpawnerConfig {
  /** Durable state of the node; the spawner keeps none. */
  readonly state_dir: string;
  /** On tmpfs: `<run_dir>/containers/<id>` holds each container's socket and records. */
  readonly run_dir: string;
}

/** The part of the node's configuration that belongs to this service. */
export const spawnerConfigSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    state_dir: { type: 'string', description: 'Directory of the durable state.', default: '/var/lib/gantry' },
    run_dir: { type: 'string', description: 'Directory of the state of this boot.', default: '/run/gantry' },
  },
} as const;
