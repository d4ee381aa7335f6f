import {
  isNull,
  mapping,
  scalar,
  sequence,
  type Entry,
  type Mapping,
  type Sequence,
  type Tree,
} from './tree.js';

/** Maps whose keys are names that the author chose; in a pattern these are *. */
const namedMaps = new Set([
  'services',
  'networks',
  'volumes',
  'configs',
  'secrets',
  'services.*.networks',
  'services.*.depends_on',
  'services.*.ulimits',
]);

type Rule = (base: Tree, over: Tree, pattern: string) => Tree;

/** Later files over earlier ones, by the Compose Specification's rules of merging (13-merge.md). */
export function mergeFiles(files: readonly Mapping[]): Mapping | undefined {
  const [first, ...others] = files;
  if (first === undefined) return undefined;
  return others.reduce((base, over) => mergeMappings(base, over, ''), first);
}

function merge(base: Tree, over: Tree, pattern: string): Tree {
  if (isNull(over)) return base;
  if (isNull(base)) return over;
  const rule = rules[pattern];
  if (rule !== undefined) return rule(base, over, pattern);
  if (base.kind === 'mapping' && over.kind === 'mapping') return mergeMappings(base, over, pattern);
  if (base.kind === 'sequence' && over.kind === 'sequence')
    return sequence([...base.items, ...over.items], over.place);
  return over;
}

function mergeMappings(base: Mapping, over: Mapping, pattern: string): Mapping {
  const entries = new Map(base.entries);
  for (const [name, entry] of over.entries) {
    const below = namedMaps.has(pattern) ? `${pattern}.*` : pattern === '' ? name : `${pattern}.${name}`;
    const earlier = entries.get(name);
    entries.set(
      name,
      earlier === undefined
        ? entry
        : // A null in the later file leaves the earlier value, place and all.
          isNull(entry.value)
          ? earlier
          : { value: merge(earlier.value, entry.value, below), place: entry.place },
    );
  }
  return mapping(entries, base.place);
}

const replace: Rule = (_, over) => over;

/** `NAME=VALUE` lists become maps, so that names meet whichever form the files use. */
const byName =
  (separator: RegExp): Rule =>
  (base, over, pattern) => {
    const [below, above] = [toMapping(base, separator), toMapping(over, separator)];
    return below === undefined || above === undefined ? over : mergeMappings(below, above, pattern);
  };

function toMapping(tree: Tree, separator: RegExp): Mapping | undefined {
  if (tree.kind === 'mapping') return tree;
  if (tree.kind === 'scalar') return undefined;
  const entries = new Map<string, Entry>();
  for (const item of tree.items) {
    if (item.kind !== 'scalar') return undefined;
    const at = item.text.search(separator);
    const name = at === -1 ? item.text : item.text.slice(0, at);
    const value =
      at === -1 ? scalar('', false, item.place) : scalar(item.text.slice(at + 1), true, item.place);
    entries.set(name, { value, place: item.place });
  }
  return mapping(entries, tree.place);
}

const toSequence = (tree: Tree): Sequence | undefined =>
  tree.kind === 'sequence' ? tree : tree.kind === 'scalar' ? sequence([tree], tree.place) : undefined;

/** Appends; of items that mean the same thing the later stays, in the earlier one's place. */
const append =
  (identify: (item: Tree) => string | undefined): Rule =>
  (base, over) => {
    const [below, above] = [toSequence(base), toSequence(over)];
    if (below === undefined || above === undefined) return over;
    const items = new Map<string, Tree>();
    [...below.items, ...above.items].forEach((item, index) => {
      items.set(identify(item) ?? `#${index}`, item);
    });
    return sequence([...items.values()], over.place);
  };

const textOf = (tree: Tree | undefined): string | undefined =>
  tree?.kind === 'scalar' ? tree.text : undefined;

const textUnder = (tree: Tree, name: string): string | undefined =>
  tree.kind === 'mapping' ? textOf(tree.entries.get(name)?.value) : undefined;

const identifyPort = (item: Tree): string | undefined =>
  item.kind === 'mapping'
    ? [
        textUnder(item, 'host_ip') ?? '',
        textUnder(item, 'published') ?? '',
        textUnder(item, 'target') ?? '',
        textUnder(item, 'protocol') ?? 'tcp',
      ].join(' ')
    : textOf(item);

const identifyVolume = (item: Tree): string | undefined => {
  if (item.kind === 'mapping') return textUnder(item, 'target');
  const parts = textOf(item)?.split(':');
  return parts?.[parts.length === 1 ? 0 : 1]?.replace(/(.)\/+$/, '$1');
};

const identifyDevice = (item: Tree): string | undefined => {
  if (item.kind === 'mapping') return textUnder(item, 'target');
  const parts = textOf(item)?.split(':');
  return parts?.[1]?.startsWith('/') === true ? parts[1] : parts?.[0];
};

const identifyEnvFile = (item: Tree): string | undefined =>
  item.kind === 'mapping' ? textUnder(item, 'path') : textOf(item);

/** Hosts as a list of HOST=ADDRESS, whichever form they have: one host may have several addresses. */
const mergeHosts: Rule = (base, over) => {
  const toList = (tree: Tree): Sequence | undefined => {
    if (tree.kind !== 'mapping') return toSequence(tree);
    const items = [...tree.entries].flatMap(([host, { value }]) =>
      (value.kind === 'sequence' ? value.items : [value]).map((address) =>
        scalar(`${host}=${textOf(address) ?? ''}`, true, address.place),
      ),
    );
    return sequence(items, tree.place);
  };
  const [below, above] = [toList(base), toList(over)];
  return below === undefined || above === undefined
    ? over
    : append((item) => textOf(item)?.replace(/[:=]/, '='))(below, above, '');
};

/** Options belong to their driver: another driver takes none of them over. */
const mergeLogging: Rule = (base, over, pattern) => {
  const [below, above] = [textUnder(base, 'driver'), textUnder(over, 'driver')];
  return base.kind === 'mapping' && over.kind === 'mapping' && (above === undefined || below === above)
    ? mergeMappings(base, over, pattern)
    : over;
};

const mergeUlimit: Rule = (base, over, pattern) =>
  base.kind === 'mapping' && over.kind === 'mapping' ? mergeMappings(base, over, pattern) : over;

const pairs = byName(/=/);
const names = byName(/(?!)/);
const texts = append(textOf);

const rules: Readonly<Record<string, Rule>> = Object.freeze({
  'services.*.command': replace,
  'services.*.entrypoint': replace,
  'services.*.healthcheck.test': replace,
  'services.*.environment': pairs,
  'services.*.labels': pairs,
  'services.*.deploy.labels': pairs,
  'services.*.sysctls': pairs,
  'volumes.*.labels': pairs,
  'networks.*.labels': pairs,
  'services.*.networks': names,
  'services.*.depends_on': names,
  'services.*.extra_hosts': mergeHosts,
  'services.*.logging': mergeLogging,
  'services.*.ulimits.*': mergeUlimit,
  'services.*.ports': append(identifyPort),
  'services.*.volumes': append(identifyVolume),
  'services.*.devices': append(identifyDevice),
  'services.*.env_file': append(identifyEnvFile),
  'services.*.cap_add': texts,
  'services.*.cap_drop': texts,
  'services.*.dns': texts,
  'services.*.dns_opt': texts,
  'services.*.dns_search': texts,
  'services.*.expose': texts,
  'services.*.group_add': texts,
  'services.*.security_opt': texts,
  'services.*.tmpfs': texts,
  'services.*.networks.*.aliases': texts,
  'services.*.deploy.placement.constraints': texts,
});
