/** What the cgroup supervisor is configured with. */
export interface CgroupSupervisorConfig {
  /** Durable state of the node; nothing of ours is in it, a cgroup never outlives a boot. */
  readonly state_dir: string;
  /** On tmpfs: `<run_dir>/cgroups/<id>.json` keeps the names used in the metrics. */
  readonly run_dir: string;
  /** Name of the node's own cgroup under each hierarchy: "gantry", or "gantry.slice/gantry". */
  readonly cgroup_root: string;
  /** Directory at or below which the hierarchies are mounted. */
  readonly mount_root: string;
}

/** The part of the node's configuration that belongs to this service. */
export const cgroupSupervisorConfigSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    state_dir: { type: 'string', description: 'Directory of the durable state.', default: '/var/lib/gantry' },
    run_dir: { type: 'string', description: 'Directory of the state of this boot.', default: '/run/gantry' },
    cgroup_root: {
      type: 'string',
      description:
        "Name of the node's cgroup under each hierarchy; several segments are allowed. Two nodes on one machine need two names.",
      pattern: '^[A-Za-z0-9_][A-Za-z0-9_.:@-]*(/[A-Za-z0-9_][A-Za-z0-9_.:@-]*)*$',
      default: 'gantry',
    },
    mount_root: {
      type: 'string',
      description: 'Directory at or below which the cgroup hierarchies are mounted.',
      pattern: '^/',
      default: '/sys/fs/cgroup',
    },
  },
} as const;
