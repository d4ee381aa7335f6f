import { proveCases } from './case.js';
import { mountCases, mountOptionCases } from './cases/mounts.js';

proveCases('mounts', mountCases);
proveCases('mount options', mountOptionCases);
