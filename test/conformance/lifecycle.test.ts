import { proveCases } from './case.js';
import { commandLineCases, lifecycleCases } from './cases/lifecycle.js';

proveCases('lifecycle', lifecycleCases);
proveCases('command line', commandLineCases);
