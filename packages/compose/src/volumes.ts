import type { Field } from './field.js';

const volumeName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** From each volume's name in the file to its name on the nodes. */
export function readVolumes(field: Field | undefined, stack: string): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const [name, volume] of field?.entries() ?? []) {
    if (!volumeName.test(name))
      volume.refuseKey('is not a name of letters, digits, _, . and - after a letter or digit');
    if (!volume.isNull) volume.entries();
    const external = volume.get('external')?.boolean() === true;
    const givenField = volume.get('name');
    const given = givenField?.filled();
    if (given !== undefined && !volumeName.test(given))
      givenField?.refuse(
        `is ${JSON.stringify(given)}, not letters, digits, _, . and - after a letter or digit`,
      );
    const driver = volume.get('driver');
    driver?.oneOf(['local']);
    if (external)
      driver?.refuseKey('stands beside external: true; an external volume has its driver already');
    names.set(name, given ?? (external ? name : `${stack}_${name}`));
  }
  return names;
}
