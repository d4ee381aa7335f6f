import { proveCases } from './case.js';
import { groups } from './groups.js';

proveCases('resources', groups.resources);
