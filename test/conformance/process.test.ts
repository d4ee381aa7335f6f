import { proveCases } from './case.js';
import { processCases } from './cases/process.js';

proveCases('process', processCases);
