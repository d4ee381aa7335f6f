export { composeKeys, type ComposeKey, type KeyStatus } from './keys.js';
export { describeProblem, type Place, type Problem } from './problems.js';
export { readStack, type SourceFile, type Stack, type StackReading, type StackSources } from './stack.js';
