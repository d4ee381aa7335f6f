/** What the api is told by the composition root. */
export interface ApiConfig {
  /** Durable files; images being loaded are spooled below it. */
  readonly state_dir: string;
  /** Holds `api.sock`. */
  readonly run_dir: string;
  /** Group that may use the socket besides root, when it exists. Its members are as good as root. */
  readonly socket_group: string;
}

/** The api's own keys of the configuration file; the directories are the node's. */
export const apiConfigSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    socket_group: {
      type: 'string',
      default: 'gantry',
      description: 'group that owns the api socket when it exists; membership equals root',
    },
  },
} as const;
