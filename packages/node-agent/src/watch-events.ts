import type { common } from '@gantry/protocol';
import type { EventLog, NodeEvent } from './event-log.js';
import { labelMatches } from './list-containers.js';
import { refusal } from './refuse.js';

const KEYS = new Set(['type', 'event', 'container', 'image', 'label', 'volume']);

function passes(event: NodeEvent, key: string, value: string): boolean {
  const attributes = Object.fromEntries(event.attributes.map((pair) => [pair.key, pair.value]));
  switch (key) {
    case 'type':
      return event.type === value;
    case 'event':
      return event.action === value || event.action.startsWith(`${value}:`);
    case 'container':
      return event.type === 'container' && (event.id.startsWith(value) || attributes.name === value);
    case 'image':
      return event.type === 'image'
        ? event.id === value || attributes.name === value
        : attributes.image === value;
    case 'label':
      return labelMatches(attributes, value);
    default:
      return event.type === 'volume' && event.id === value;
  }
}

/** A predicate for docker's filters: values of one key are alternatives, different keys must all hold. */
export function eventFilter(filters: readonly common.KeyValue[]): (event: NodeEvent) => boolean {
  const wanted = new Map<string, string[]>();
  for (const { key, value } of filters) {
    if (!KEYS.has(key))
      throw refusal(
        'invalid_argument',
        'WatchEvents',
        key,
        `events cannot be filtered by ${JSON.stringify(key)}`,
      );
    wanted.set(key, [...(wanted.get(key) ?? []), value]);
  }
  return (event) => [...wanted].every(([key, values]) => values.some((value) => passes(event, key, value)));
}

export interface EventWish {
  /** 0: none of the past. */
  readonly sinceUnixNanos: number;
  /** 0: for ever. */
  readonly untilUnixNanos: number;
  readonly wanted: (event: NodeEvent) => boolean;
  readonly signal: AbortSignal;
}

/** Kept events first, then those that come; none is missed or told twice in between. */
export async function* watchEvents(log: EventLog, wish: EventWish): AsyncGenerator<NodeEvent> {
  const queue: NodeEvent[] = wish.sinceUnixNanos > 0 ? [...log.since(wish.sinceUnixNanos)] : [];
  let wake: () => void = () => undefined;
  const stop = log.listen((event) => {
    queue.push(event);
    wake();
  });
  const leftMs = wish.untilUnixNanos > 0 ? Math.max(0, wish.untilUnixNanos / 1e6 - Date.now()) : undefined;
  const timer = leftMs === undefined ? undefined : setTimeout(() => wake(), Math.min(leftMs, 2 ** 31 - 1));
  const onAbort = (): void => wake();
  wish.signal.addEventListener('abort', onAbort);
  try {
    for (;;) {
      for (let event = queue.shift(); event !== undefined; event = queue.shift()) {
        if (wish.untilUnixNanos > 0 && event.timeUnixNanos > wish.untilUnixNanos) return;
        if (wish.wanted(event)) yield event;
      }
      if (wish.signal.aborted || (wish.untilUnixNanos > 0 && Date.now() * 1e6 >= wish.untilUnixNanos)) return;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    stop();
    clearTimeout(timer);
    wish.signal.removeEventListener('abort', onAbort);
  }
}
