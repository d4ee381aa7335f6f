import { proveCases } from './case.js';
import { groups } from './groups.js';

proveCases('lifecycle', groups.lifecycle);
