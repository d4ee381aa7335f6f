import { proveCases } from './case.js';
import { groups } from './groups.js';

proveCases('mounts', groups.mounts);
proveCases('mount-options', groups['mount-options']);
