import { proveCases } from './case.js';
import { groups } from './groups.js';

proveCases('devices', groups.devices);
proveCases('paths', groups.paths);
proveCases('kernel', groups.kernel);
