export { runCommandLine } from './program.js';
export { programHelp, verbHelp } from './help.js';
export { globalOptions, verbs, type VerbName, type VerbWords } from './options.js';
export type { Option } from './command-line.js';
