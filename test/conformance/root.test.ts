import { proveCases } from './case.js';
import { rootCases } from './cases/root.js';

proveCases('root, names, version', rootCases);
