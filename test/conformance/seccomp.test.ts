import { proveCases } from './case.js';
import { groups } from './groups.js';

proveCases('seccomp', groups.seccomp);
