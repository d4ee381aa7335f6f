export { startImageStore } from './main.js';
export { imageStoreConfigSchema, type ImageStoreConfig } from './config.js';
