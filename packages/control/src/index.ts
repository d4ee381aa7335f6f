export { startControl } from './main.js';
export type { ControlConfig } from './config.js';
