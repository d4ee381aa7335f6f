/** Linux signal numbers as on x86-64 and arm64 (signal(7)); other architectures are not supported by Gantry. */
export const SIGNAL_NUMBERS: Readonly<Record<string, number>> = Object.freeze({
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGIOT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPOLL: 29,
  SIGPWR: 30,
  SIGSYS: 31,
  SIGRTMIN: 34,
  SIGRTMAX: 64,
});

const FIRST_NAMES = new Map<number, string>();
for (const [name, number] of Object.entries(SIGNAL_NUMBERS)) {
  if (!FIRST_NAMES.has(number)) FIRST_NAMES.set(number, name);
}

/**
 * Reads a signal as people write it: `TERM`, `sigterm`, `SIGTERM`, `15`, `RTMIN+3`, `SIGRTMAX-2`.
 * Answers the number 1..64, or undefined when it names none.
 */
export function parseSignal(text: string): number | undefined {
  if (/^\d{1,2}$/.test(text)) {
    const number = Number(text);
    return number >= 1 && number <= 64 ? number : undefined;
  }
  const upper = text.toUpperCase();
  const name = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  const plain = Object.hasOwn(SIGNAL_NUMBERS, name) ? SIGNAL_NUMBERS[name] : undefined;
  if (plain !== undefined) return plain;
  const real = /^SIGRT(MIN\+|MAX-)(\d{1,2})$/.exec(name);
  if (real === null) return undefined;
  const offset = Number(real[2]);
  const number = real[1] === 'MIN+' ? 34 + offset : 64 - offset;
  return number >= 34 && number <= 64 ? number : undefined;
}

/** `SIGTERM` for 15; `SIGRTMIN+3` for 37; the number itself when it is not a signal. */
export function signalName(number: number): string {
  const name = FIRST_NAMES.get(number);
  if (name !== undefined) return name;
  return number > 34 && number < 64 ? `SIGRTMIN+${number - 34}` : String(number);
}
