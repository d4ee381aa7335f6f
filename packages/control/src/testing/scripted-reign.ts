import { setImmediate } from 'node:timers/promises';
import type { CallContext } from '@gantry/bus';
import type { control } from '@gantry/protocol';
import { pino } from 'pino';
import type { Reign } from '../reign.js';
import { ClusterState, type Committer } from '../state.js';

export interface ScriptedReign {
  readonly reign: Reign;
  readonly state: ClusterState;
  readonly audit: control.AuditEntry[];
  readonly reported: { readonly taskId: string; readonly status: control.TaskStatus }[];
  /** Says that something has changed. */
  pulse(): void;
  end(): void;
}

/** A reign over a state in memory, for those who answer: writes are applied at once, and nothing is decided. */
export function makeScriptedReign(): ScriptedReign {
  const state = ClusterState.from(new Map());
  const audit: control.AuditEntry[] = [];
  const reported: ScriptedReign['reported'] = [];
  const over = new AbortController();
  let pulses = 1;
  const transact: Committer['transact'] = (decide) =>
    new Promise((resolve) => {
      const { changes, result } = decide();
      for (const change of changes) state.apply(change);
      resolve(result);
    });
  const parts = {
    state,
    term: 1,
    signal: over.signal,
    endedBecause: 'the test is over',
    store: {
      generation: 1,
      revision: 1,
      appendAudit: (entry: control.AuditEntry): Promise<void> => Promise.resolve(void audit.push(entry)),
    },
    leases: { grantAll: () => undefined, forget: () => undefined, conditionOf: () => 'ready' },
    events: { publish: () => undefined },
    nodeStatuses: new Map<string, control.NodeStatus>(),
    nodeChanged: () => undefined,
    nodeViews: () => [],
    nowMs: () => 1_000,
    transact,
    report: (statuses: ScriptedReign['reported']): Promise<void> =>
      Promise.resolve(void reported.push(...statuses)),
    async *pulses(signal: AbortSignal): AsyncGenerator<void> {
      for (let seen = 0; !signal.aborted; await setImmediate())
        if (seen !== pulses) {
          seen = pulses;
          yield;
        }
    },
  };
  return {
    reign: parts as unknown as Reign,
    state,
    audit,
    reported,
    pulse: () => void (pulses += 1),
    end: () => over.abort(),
  };
}

/** A call of one node's agent. */
export const makeContext = (nodeId: string, method: string): CallContext =>
  ({
    subject: `gantry.v1.control.${nodeId}.${method}`,
    caller: nodeId,
    actor: '',
    requestId: 'r',
    signal: new AbortController().signal,
    logger: pino({ enabled: false }),
  }) as unknown as CallContext;
