/** Milliseconds that only go forward. Node's `performance` takes longer to load than a command has for all it does. */
export function monotonicMs(): number {
  return process.uptime() * 1000;
}
