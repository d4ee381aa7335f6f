import type { Init, node } from '@gantry/protocol';
import { present } from './context.js';
import type { Field } from './field.js';

/** A string is run by the image's shell; a list begins with NONE, CMD or CMD-SHELL. */
export function readHealthCheck(field: Field | undefined): Init<node.HealthCheck> | undefined {
  if (field === undefined) return undefined;
  field.entries();
  const disabled = field.get('disable')?.boolean() === true;
  const testField = field.get('test');
  const test = testField === undefined ? undefined : readTest(testField);
  if (disabled) {
    if (test !== undefined && test[0] !== 'NONE')
      testField?.refuseKey('stands beside disable: true; keep one of them');
    return { test: ['NONE'] };
  }
  return present({
    test,
    intervalMs: field.get('interval')?.durationMs(),
    timeoutMs: field.get('timeout')?.durationMs(),
    retries: field.get('retries')?.integer({ maximum: 0xffff_ffff }),
    startPeriodMs: field.get('start_period')?.durationMs(),
    startIntervalMs: field.get('start_interval')?.durationMs(),
  });
}

function readTest(field: Field): string[] | undefined {
  if (!field.isSequence) {
    const text = field.filled();
    return text === undefined ? undefined : ['CMD-SHELL', text];
  }
  const words = field.strings();
  const [kind] = words;
  if (kind !== 'NONE' && kind !== 'CMD' && kind !== 'CMD-SHELL')
    return field.refuse('does not begin with NONE, CMD or CMD-SHELL');
  if (kind === 'NONE' ? words.length > 1 : words.length === 1)
    return field.refuse(kind === 'NONE' ? 'has words after NONE' : `has nothing after ${kind}`);
  if (kind === 'CMD-SHELL' && words.length > 2) return field.refuse('has more than one text after CMD-SHELL');
  return words;
}

export function readLog(field: Field | undefined): Init<node.LogConfig> | undefined {
  if (field === undefined) return undefined;
  field.entries();
  const options = field.get('options');
  options?.entries();
  const driver = field.get('driver')?.oneOf(['json-file', 'none']);
  if (driver === 'none') options?.refuseKey('has no meaning for driver none');
  return present({
    driver,
    maxSizeBytes: options?.get('max-size')?.bytes(),
    maxFiles: options?.get('max-file')?.integer({ minimum: 1, maximum: 100 }),
  });
}
