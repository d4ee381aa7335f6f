import { startService, type RunningService, type ServiceEnvironment } from '@gantry/bus';
import type { ControlConfig } from './config.js';

/** Placeholder until control's first slice lands. */
export function startControl(
  environment: ServiceEnvironment,
  _config: ControlConfig,
): Promise<RunningService> {
  return startService({ name: 'control', environment, start: () => Promise.resolve({ handlers: {} }) });
}
