import { proveCases } from './case.js';
import { groups } from './groups.js';

proveCases('command line', groups['command-line']);
