import { proveCases } from './case.js';
import { hookCases } from './cases/hooks.js';

proveCases('hooks', hookCases);
