export { networkManagerConfigSchema, type NetworkManagerConfig } from './config.js';
export { startNetworkManager } from './main.js';
