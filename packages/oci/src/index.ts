export type * from './runtime-spec.js';
export type * from './image-spec.js';
export { MEDIA_TYPES } from './image-spec.js';
export { SIGNAL_NUMBERS, parseSignal, signalName } from './signals.js';
