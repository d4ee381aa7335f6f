export { startApi } from './main.js';
export { apiConfigSchema, type ApiConfig } from './config.js';
