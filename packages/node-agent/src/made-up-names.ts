import { randomInt } from 'node:crypto';

const QUALITIES =
  'able amber brave brisk calm clear crisp eager early fair fleet fresh gentle glad grand happy hardy keen kind lively lucky mellow merry mild neat noble plain proud quick quiet ready sharp sleek smooth solid steady still stout sturdy sunny swift tidy true vivid warm wise witty young zesty'.split(
    ' ',
  );
const THINGS =
  'anchor barge beam boom bow bridge buoy cable capstan cargo chain cleat crane crate davit deck derrick dock ferry fender harbor hatch hawser hoist hook hull jetty jib keel ladder lighter mast mooring pallet pier pilot pulley quay rigging rope rudder shackle sling slip spar spool tackle tug vessel wharf winch'.split(
    ' ',
  );

/** A name for a container nobody named: "brisk_crane"; a number follows once names run short. */
export function makeUpName(taken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt += 1) {
    const base = `${QUALITIES[randomInt(QUALITIES.length)] ?? 'plain'}_${THINGS[randomInt(THINGS.length)] ?? 'crate'}`;
    const name = attempt < 5 ? base : `${base}_${randomInt(10 ** Math.min(attempt - 3, 9))}`;
    if (!taken(name)) return name;
  }
}
