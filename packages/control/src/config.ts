/** What control is told by the composition root. */
export interface ControlConfig {
  /** Holds `cluster/`: membership, view, what control has seen of the store. */
  readonly state_dir: string;
  readonly run_dir: string;
  /** How long a node that is not heard of keeps its tasks, milliseconds. */
  readonly lease_ms: number;
  /** How long a leader that renews nothing stays leader in the others' eyes, milliseconds. */
  readonly leader_lease_ms: number;
  /** How long a node whose processes are away, but not its machine, keeps its tasks, milliseconds. */
  readonly restart_lease_ms: number;
  /** Ended tasks that are remembered for each slot of a service. */
  readonly kept_tasks: number;
}

export const controlConfigSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    lease_ms: {
      type: 'integer',
      // Agents renew every second.
      minimum: 2500,
      maximum: 600_000,
      default: 3000,
      description: 'Milliseconds after which a node that is not heard of is lost.',
    },
    leader_lease_ms: {
      type: 'integer',
      // A leader stops by itself after three.
      minimum: 4000,
      maximum: 600_000,
      default: 4000,
      description: 'Milliseconds without a sign of the leader after which another control node takes over.',
    },
    restart_lease_ms: {
      type: 'integer',
      minimum: 1000,
      maximum: 3_600_000,
      default: 60_000,
      description: 'Milliseconds for which a node that only restarts Gantry keeps its tasks.',
    },
    kept_tasks: {
      type: 'integer',
      minimum: 0,
      maximum: 100,
      default: 5,
      description: 'Ended tasks that are remembered for each slot of a service.',
    },
  },
} as const;
