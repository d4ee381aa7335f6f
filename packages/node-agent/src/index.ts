export { startNodeAgent } from './main.js';
export { nodeAgentConfigSchema, type NodeAgentConfig } from './config.js';
