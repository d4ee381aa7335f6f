import { proveCases } from './case.js';
import { groups } from './groups.js';

proveCases('cgroups', groups.cgroups);
proveCases('resources', groups.resources);
