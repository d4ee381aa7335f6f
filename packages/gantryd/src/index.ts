export { defaultConfigPath, loadConfig, printConfig, type ConfigSources } from './config.js';
export { listSettings, nodeConfigSchema, type NodeConfig, type Setting } from './config-schema.js';
export { serviceNames, type ServiceName } from './services.js';
