/** The image store's part of the node's configuration. */
export interface ImageStoreConfig {
  /** Directory for blobs, layers, images and containers' writable directories. */
  readonly state_dir: string;
  /** Directory for what a reboot may take; the image store keeps nothing there. */
  readonly run_dir: string;
  /** Registries (host or host:port) that are spoken to in plain HTTP besides those on loopback. */
  readonly insecure_registries: readonly string[];
}

export const imageStoreConfigSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    state_dir: {
      type: 'string',
      pattern: '^/',
      description:
        'Directory for blobs, layers, images and what containers write; its file system must keep extended attributes.',
      default: '/var/lib/gantry',
    },
    run_dir: {
      type: 'string',
      pattern: '^/',
      description: 'Directory for what a reboot may take.',
      default: '/run/gantry',
    },
    insecure_registries: {
      type: 'array',
      items: { type: 'string', minLength: 1 },
      description:
        'Registries (host or host:port) that are spoken to in plain HTTP. Those on loopback always are.',
      default: [],
    },
  },
} as const;
