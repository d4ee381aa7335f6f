// Names that Linux has, so that a misspelt one is told before any node tries it.

const list = (text: string): ReadonlySet<string> => new Set(text.split(/\s+/));

/** capabilities(7), without CAP_. */
export const capabilityNames = list(
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE ' +
    'NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT ' +
    'SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL ' +
    'SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE',
);

/** signal(7), without SIG. */
export const signalNames = list(
  'HUP INT QUIT ILL TRAP ABRT IOT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CLD CONT STOP TSTP TTIN ' +
    'TTOU URG XCPU XFSZ VTALRM PROF WINCH IO POLL PWR SYS RTMIN RTMAX',
);

/** RLIMIT_* of getrlimit(2), lower case. */
export const ulimitNames = list(
  'as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack',
);

/** "NET_ADMIN" for "cap_net_admin"; undefined for none. */
export function readCapability(text: string): string | undefined {
  const name = text.toUpperCase().replace(/^CAP_/, '');
  return name === 'ALL' || capabilityNames.has(name) ? name : undefined;
}

/** TERM, sigterm, 15, RTMIN+3. */
export function isSignal(text: string): boolean {
  if (/^\d{1,2}$/.test(text)) return Number(text) >= 1 && Number(text) <= 64;
  const name = text.toUpperCase().replace(/^SIG/, '');
  const real = /^RT(?:MIN\+|MAX-)(\d{1,2})$/.exec(name);
  return signalNames.has(name) || (real !== null && Number(real[1]) <= 30);
}
