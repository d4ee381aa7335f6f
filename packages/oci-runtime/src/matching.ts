import type { ContainerStore } from './container-store.js';
import { failure, messageOf } from './failure.js';

/** Ids that a regular expression matches somewhere, as in crun. */
export function matchingIds(store: ContainerStore, expression: string): readonly string[] {
  let pattern: RegExp;
  try {
    pattern = new RegExp(expression);
  } catch (error) {
    return failure(messageOf(error));
  }
  return store.ids().filter((id) => pattern.test(id));
}
