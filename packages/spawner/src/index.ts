export { spawnerConfigSchema, type SpawnerConfig } from './config.js';
export { startSpawner } from './main.js';
