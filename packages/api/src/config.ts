/** What the api is told by the composition root. */
export interface ApiConfig {
  /** Durable files; images being loaded are spooled below it. */
  readonly state_dir: string;
  /** Holds `api.sock`. */
  readonly run_dir: string;
  /** Group that may use the socket besides root, when it exists. Its members are as good as root. */
  readonly socket_group: string;
  /** Port of the api over TLS on the address of a cluster's member; 0 for none. */
  readonly tls_port: number;
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
    tls_port: {
      type: 'integer',
      minimum: 0,
      maximum: 65535,
      default: 4330,
      description: "Port of the api over TLS on a cluster member's address; 0 for none.",
    },
  },
} as const;
