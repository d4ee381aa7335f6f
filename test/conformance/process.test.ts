import { proveCases } from './case.js';
import { groups } from './groups.js';

proveCases('process', groups.process);
proveCases('scheduling', groups.scheduling);
proveCases('terminal', groups.terminal);
