import type { control } from '@gantry/protocol';

/** What a decision asks to be done to the store. Each may be repeated without harm. */
export type Step =
  | { readonly type: 'create-task'; readonly task: control.Task }
  | { readonly type: 'assign-task'; readonly taskId: string; readonly nodeId: string }
  | { readonly type: 'explain-task'; readonly taskId: string; readonly message: string }
  | { readonly type: 'set-desired'; readonly taskId: string; readonly desired: control.DesiredState }
  | { readonly type: 'mark-lost'; readonly taskId: string; readonly message: string }
  | { readonly type: 'remove-task'; readonly taskId: string }
  | { readonly type: 'update-service'; readonly service: control.Service }
  | { readonly type: 'remove-service'; readonly serviceId: string }
  | { readonly type: 'remove-stack'; readonly name: string };
