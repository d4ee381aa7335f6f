import { proveCases } from './case.js';
import { fileCases, namespaceCases, seccompCases } from './cases/linux.js';

proveCases('namespaces', namespaceCases);
proveCases('devices, paths and the kernel', fileCases);
proveCases('seccomp', seccompCases);
