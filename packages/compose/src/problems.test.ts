import assert from 'node:assert/strict';
import { test } from 'node:test';
import { composeKeys } from './index.js';
import { fileOf, problemsOf } from './testing/read.js';

/** The keys of service `a` begin in line 4, column 5; `services.a` stands before each key and is left out here. */
const ofService: readonly (readonly [keys: string, ...problems: string[]])[] = [
  ['imag: y', '4:5: .imag: unknown key (did you mean image?)'],
  ['qqqqqq: y', '4:5: .qqqqqq: unknown key'],
  ['IMAGE: y', '4:5: .IMAGE: unknown key'],
  ['deploy: { replica: 1 }', '4:15: .deploy.replica: unknown key (did you mean replicas?)'],
  [
    'deploy: { resources: { limits: { cpu: 1 } } }',
    '4:38: .deploy.resources.limits.cpu: unknown key (did you mean cpus?)',
  ],
  ['ports: [{ target: 80, publish: 1 }]', '4:27: .ports[0].publish: unknown key (did you mean published?)'],
  ['healthcheck: { tset: x }', '4:20: .healthcheck.tset: unknown key (did you mean test?)'],
  ['logging: { options: { labels: x } }', '4:27: .logging.options.labels: unknown key'],

  [
    'container_name: y',
    '4:5: .container_name is not done by gantry stack deploy: the containers of a task are named STACK_SERVICE.SLOT.TASK',
  ],
  [
    'deploy: { rollback_config: {} }',
    '4:15: .deploy.rollback_config is not done by gantry stack deploy: a rollback goes by update_config',
  ],
  [
    'networks: { default: { ipv4_address: 10.0.0.1 } }',
    '4:28: .networks.default.ipv4_address is not done by gantry stack deploy: addresses are given by each node',
  ],
  [
    'volumes: [{ type: volume, target: /x, volume: { nocopy: true } }]',
    '4:53: .volumes[0].volume.nocopy is not done by gantry stack deploy: an empty volume is filled from the image',
  ],
  [
    'depends_on: { b: { condition: service_healthy } }',
    '4:19: .depends_on.b names service "b", which is not in the file',
    '4:35: .depends_on.b.condition is not done by gantry stack deploy: "service_healthy" orders services, and a stack starts all at once; service_started is accepted',
  ],

  ['ports:', '4:5: .ports has no value: give it one, or leave the key out'],
  ['user:', '4:5: .user has no value: give it one, or leave the key out'],
  ['user: 1000', '4:11: .user is 1000, which YAML reads as a number: put it in quotes'],
  ['hostname: true', '4:15: .hostname is true, which YAML reads as true or false: put it in quotes'],
  ['command: 5', '4:14: .command is 5, which YAML reads as a number: put it in quotes'],
  ['command: [sleep, 5]', '4:22: .command[1] is 5, which YAML reads as a number: put it in quotes'],
  ['command: { a: b }', '4:14: .command is not a text'],
  [`command: sh -c 'x`, `4:14: .command has a ' that is not closed`],
  [
    'command: []',
    "4:14: .command is empty: that the image's command is not run is only done beside an entrypoint (such as [])",
  ],
  ['working_dir: ""', '4:18: .working_dir is empty'],
  ['environment: text', '4:18: .environment is not a map or a list'],
  ['environment: [=x]', '4:19: .environment[0] is "=x", which has no name'],
  ['environment: { A: [1] }', '4:23: .environment.A is not a text or a number'],
  ['environment: { "A B": 1 }', '4:20: .environment.A B has "A B", which is not the name of a variable'],
  [
    'labels: { gantry.task.id: x }',
    `4:31: .labels.gantry.task.id has label gantry.task.id; labels that begin with gantry. are Gantry's own`,
  ],
  ['tty: maybe', '4:10: .tty is "maybe", neither true nor false'],
  ['cap_add: [NET_ADMN]', '4:15: .cap_add[0] is "NET_ADMN", no capability that Linux has'],
  ['stop_signal: SIGFOO', '4:18: .stop_signal is "SIGFOO", not a signal (such as SIGTERM)'],
  ['cap_add: ALL', '4:14: .cap_add is not a list'],
  ['hostname: -x-', '4:15: .hostname is "-x-", not a host name'],
  ['stop_signal: 99', '4:18: .stop_signal is "99", not a signal (such as SIGTERM)'],
  ['stop_grace_period: 10', '4:24: .stop_grace_period is "10", not a duration (such as 30s, 1m30s or 500ms)'],
  ['shm_size: 64q', '4:15: .shm_size is "64q", not a size (such as 64m or 1.5g)'],
  ['oom_score_adj: 2000', '4:20: .oom_score_adj is "2000", not a whole number from -1000 to 1000'],
  ['userns_mode: x', '4:18: .userns_mode is "x"; host and private are done'],
  ['pull_policy: build', '4:18: .pull_policy is "build"; always, missing, if_not_present and never are done'],
  ['dns: 1.2.3', '4:10: .dns is 1.2.3, not an IP address'.replace('is 1.2.3', 'is "1.2.3"')],
  ['extra_hosts: [a]', '4:19: .extra_hosts[0] is not of the form HOST=ADDRESS'],
  ['devices: [dev]', '4:15: .devices[0] is not of the form /dev/HOST[:/dev/CONTAINER][:rwm]'],
  ['devices: [vendor.example/gpu=all]', '4:15: .devices[0] names a CDI device, which is not done'],
  ['ulimits: { nofiles: 1 }', '4:16: .ulimits.nofiles is no limit that Linux has'],
  ['ulimits: { nofile: { soft: 2, hard: 1 } }', '4:32: .ulimits.nofile.soft is above the hard limit'],
  ['ulimits: { nofile: { soft: 2 } }', '4:24: .ulimits.nofile has no hard limit'],
  [
    'security_opt: [label=x]',
    '4:20: .security_opt[0] is "label=x"; no-new-privileges, seccomp=unconfined, seccomp=FILE and systempaths=unconfined are done',
  ],
  [
    'security_opt: [seccomp=no.json]',
    '4:20: .security_opt[0] is "seccomp=no.json", a file that cannot be read',
  ],
  ['healthcheck: { test: [curl] }', '4:26: .healthcheck.test does not begin with NONE, CMD or CMD-SHELL'],
  [
    'healthcheck: { test: x, disable: true }',
    '4:20: .healthcheck.test stands beside disable: true; keep one of them',
  ],
  ['logging: { driver: local }', '4:24: .logging.driver is "local"; json-file and none are done'],
  [
    'logging: { driver: none, options: { max-file: 2 } }',
    '4:30: .logging.options has no meaning for driver none',
  ],
  ['network_mode: service:b', '4:19: .network_mode is "service:b"; bridge, none and host are done'],
  ['network_mode: host\nports: [80]', '5:5: .ports has no meaning with network_mode host'],
  [
    'network_mode: bridge\nnetworks: [default]',
    '5:5: .networks stands beside network_mode; keep one of them',
  ],
  ['networks: [front]', '4:16: .networks[0] names network "front", which is not under networks'],
  [
    'networks: { defualt: }',
    '4:17: .networks.defualt names network "defualt", which is not under networks (did you mean default?)',
  ],
  [
    'networks: { default: { aliases: ["a b"] } }',
    '4:38: .networks.default.aliases[0] is "a b", not a DNS name',
  ],

  ['ports: [0]', '4:13: .ports[0] is "0", whose ports are not all from 1 to 65535'],
  ['ports: ["80:80/sctp"]', '4:13: .ports[0] is "80:80/sctp", whose protocol is not done; tcp and udp are'],
  ['ports: ["a:80:80"]', '4:13: .ports[0] is "a:80:80", which has no address before its first colon'],
  [
    'ports: ["80-81:80"]',
    '4:13: .ports[0] is "80-81:80", a range of host ports for one container port, which is not done: name one host port',
  ],
  ['ports: ["80-82:80-81"]', '4:13: .ports[0] is "80-82:80-81", whose ranges have different lengths'],
  ['ports: ["80:80", "80:81"]', '4:22: .ports[1] publishes host port 80/tcp again (first in line 4)'],
  [
    'ports: ["127.0.0.1:80:80", "80:81"]',
    '4:32: .ports[1] publishes host port 80/tcp again (first in line 4)',
  ],
  [
    'ports: ["80:80", { target: 1, published: 80, host_ip: 127.0.0.1 }]',
    '4:22: .ports[1] publishes host port 80/tcp again (first in line 4)',
  ],
  ['ports: [{ published: 80 }]', '4:13: .ports[0] has no target: the port inside the container'],
  [
    'ports: [{ target: 80, published: 80-90 }]',
    '4:38: .ports[0].published is "80-90", a range of host ports, which is not done: name one',
  ],
  ['ports: [{ target: 80, mode: x }]', '4:33: .ports[0].mode is "x"; host and ingress are done'],
  ['ports: { 80: 80 }', '4:12: .ports is not a list'],
  ['expose: [x]', '4:14: .expose[0] is "x", not a port or a range of ports'],

  ['volumes: [data:/x]', '4:15: .volumes[0] is "data:/x", whose volume data is not named under volumes'],
  ['volumes: [./a:b]', '4:15: .volumes[0] is "./a:b", whose target is not an absolute path'],
  ['volumes: [/a:/b:/c:/d]', '4:15: .volumes[0] is "/a:/b:/c:/d", not of the form [SOURCE:]TARGET[:OPTIONS]'],
  [
    'volumes: [/a:/b:z]',
    '4:15: .volumes[0] is "/a:/b:z", whose option z is not done; ro, rw and rprivate, private, rshared, shared, rslave, slave are',
  ],
  ['volumes: [~/a:/b]', '4:15: .volumes[0] is "~/a:/b", but HOME is not set'],
  ['volumes: [/a:/x, /b:/x/]', '4:22: .volumes[1] mounts over /x again (first in line 4)'],
  ['volumes: [/a:/]', '4:15: .volumes[0] mounts over the whole root file system'],
  ['volumes: [{ target: /x }]', '4:15: .volumes[0] has no type: bind, volume or tmpfs'],
  [
    'volumes: [{ type: npipe, target: /x }]',
    '4:23: .volumes[0].type is "npipe"; bind, volume and tmpfs are done',
  ],
  ['volumes: [{ type: bind, target: /x }]', '4:15: .volumes[0] has no source: the path on the node'],
  ['volumes: [{ type: bind, source: /a, target: x }]', '4:49: .volumes[0].target is not an absolute path'],
  [
    'volumes: [{ type: bind, source: /a, target: /x, tmpfs: { size: 1m } }]',
    '4:53: .volumes[0].tmpfs has no meaning for a mount of type bind',
  ],
  [
    'volumes: [{ type: tmpfs, target: /x, tmpfs: { mode: 755 } }]',
    '4:57: .volumes[0].tmpfs.mode is "755", not permission bits with a leading zero (such as 0755)',
  ],
  ['tmpfs: [x]', '4:13: .tmpfs[0] is "x", which does not begin with an absolute path'],
  [
    'tmpfs: [/x:uid=1]',
    '4:13: .tmpfs[0] is "/x:uid=1", whose option uid=1 is not done; size, mode, ro and rw, noexec, nosuid, nodev are',
  ],

  ['mem_limit: 5m', '4:16: .mem_limit is less than 6 MiB, the least a container can run in'],
  ['mem_limit: 64m\nmem_reservation: 65m', '5:22: .mem_reservation is more than the memory limit'],
  ['cpus: 0.001', '4:11: .cpus is "0.001", not a number of processors of 0.01 or more (such as 0.5)'],
  ['cpus: 1\ncpu_quota: 5000', '5:5: .cpu_quota says the same as cpus, another way'],
  ['cpuset: 0-', '4:13: .cpuset is "0-", not a list like 0-3,7'],
  [
    'mem_limit: 1g\ndeploy: { resources: { limits: { memory: 2g } } }',
    '4:16: .mem_limit says another thing than deploy.resources.limits.memory: keep one of them',
  ],

  ['deploy: 5', '4:13: .deploy is not a map'],
  ['deploy: { mode: job }', '4:21: .deploy.mode is "job"; replicated and global are done'],
  ['deploy: { replicas: -1 }', '4:25: .deploy.replicas is "-1", not a whole number from 0 to 100000'],
  ['deploy: { replicas: many }', '4:25: .deploy.replicas is "many", not a whole number from 0 to 100000'],
  [
    'deploy: { replicas: 2, mode: global }',
    '4:15: .deploy.replicas has no meaning in mode global, which has one task on every node',
  ],
  ['scale: 2\ndeploy: { replicas: 3 }', '4:12: .scale is 2, but deploy.replicas is 3'],
  [
    'deploy: { endpoint_mode: vip }',
    '4:30: .deploy.endpoint_mode is "vip"; only dnsrr is done: a name has the addresses of all its tasks',
  ],
  [
    'deploy: { placement: { constraints: [zone == eu] } }',
    '4:42: .deploy.placement.constraints[0] is "zone == eu", whose key is not done; node.id, node.hostname, node.role, node.platform.os, node.platform.arch and node.labels.NAME are',
  ],
  [
    'deploy: { placement: { constraints: [node.labels.a = b] } }',
    '4:42: .deploy.placement.constraints[0] is "node.labels.a = b", not of the form KEY==VALUE or KEY!=VALUE',
  ],
  [
    'deploy: { placement: { constraints: [node.labels.a == ] } }',
    '4:42: .deploy.placement.constraints[0] is "node.labels.a ==", not of the form KEY==VALUE or KEY!=VALUE',
  ],
  [
    'deploy: { placement: { constraints: [node.role == king] } }',
    '4:42: .deploy.placement.constraints[0] is "node.role == king", whose role no node has; control (or manager) and worker are roles',
  ],
  [
    'deploy: { placement: { constraints: [node.id == a, node.id == b] } }',
    '4:56: .deploy.placement.constraints[1] can never hold: the constraints also ask for node.id == a',
  ],
  [
    'deploy: { placement: { constraints: [node.id != a, node.id == a] } }',
    '4:56: .deploy.placement.constraints[1] can never hold: the constraints also ask for node.id != a',
  ],
  ['deploy: { placement: { preferences: [{}] } }', '4:42: .deploy.placement.preferences[0] has no spread'],
  [
    'deploy: { restart_policy: { condition: always } }',
    '4:44: .deploy.restart_policy.condition is "always"; none, on-failure and any are done',
  ],
  [
    'restart: sometimes',
    '4:14: .restart is "sometimes"; no, always, on-failure[:MAXIMUM] and unless-stopped are done',
  ],
  [
    'deploy: { update_config: { max_failure_ratio: 2 } }',
    '4:51: .deploy.update_config.max_failure_ratio is "2", not a number from 0 to 1',
  ],
  [
    'deploy: { update_config: { order: any } }',
    '4:39: .deploy.update_config.order is "any"; stop-first and start-first are done',
  ],
];

for (const [keys, ...problems] of ofService)
  test(`"${keys.replaceAll('\n', '; ')}" is refused with its place`, () => {
    assert.deepEqual(
      problemsOf(fileOf(keys)),
      problems.map((problem) => `compose.yaml:${problem.replace(': .', ': services.a.')}`),
    );
  });

const a = 'services: { a: { image: x } }';
const ofFile: readonly (readonly [text: string, ...problems: string[]])[] = [
  ['', '1:1: the file is empty'],
  ['# nothing\n', '1:1: the file is empty'],
  ['text', '1:1: the file is not a map of keys (such as services:)'],
  ['- a', '1:1: the file is not a map of keys (such as services:)'],
  ['name: x', '1:1: the file has no services'],
  ['services: {}', '1:11: services names no service'],
  ['services: [a]', '1:11: services is not a map'],
  ['services:', '1:1: services has no value: give it one, or leave the key out'],
  ['services: { a: }', '1:13: services.a has no value: give it one, or leave the key out'],
  ['services: { a: x }', '1:16: services.a is not a map of keys (such as image:)'],
  ['services: { a: {} }', '1:13: services.a has no image'],
  [
    'services: { a: { image: x, build: . } }',
    '1:28: services.a.build is not done by gantry stack deploy: build the image and name it in image',
  ],
  [
    'services: { a.b: { image: x } }',
    '1:13: services.a.b is no name that DNS can have: letters, digits, - and _, at most 63',
  ],
  [
    `services: { ${'a'.repeat(64)}: { image: x } }`,
    `1:13: services.${'a'.repeat(64)} is no name that DNS can have: letters, digits, - and _, at most 63`,
  ],
  ['service: {}', '1:1: the file has no services', '1:1: service: unknown key (did you mean services?)'],
  [
    `${a}\nsecrets: {}`,
    '2:1: secrets is not done by gantry stack deploy: bind a file that only root can read',
  ],
  [
    `${a}\nnetworks: { n: { external: true } }`,
    "2:18: networks.n.external is not done by gantry stack deploy: networks are the stack's own",
  ],
  [
    `${a}\nnetworks: { n: { internal: true } }`,
    '2:18: networks.n.internal is not done by gantry stack deploy: every network reaches the outside',
  ],
  [
    `${a}\nnetworks: { n: { driver: macvlan } }`,
    '2:26: networks.n.driver is "macvlan"; bridge and overlay are done',
  ],
  [
    `${a}\nnetworks: { n: { ipam: {} } }`,
    '2:18: networks.n.ipam is not done by gantry stack deploy: addresses are given by each node',
  ],
  [`${a}\nvolumes: { v: { driver: nfs } }`, '2:25: volumes.v.driver is "nfs"; only local is done'],
  [
    `${a}\nvolumes: { v: { name: a/b } }`,
    '2:23: volumes.v.name is "a/b", not letters, digits, _, . and - after a letter or digit',
  ],
  [
    `${a}\nvolumes: { v: { driver_opts: {} } }`,
    '2:17: volumes.v.driver_opts is not done by gantry stack deploy: mount it on the nodes and bind the directory',
  ],

  ['services:\n\ta: {}', '2:1: a tab indents this line; YAML takes spaces only'],
  ['a: 1\n---\nb: 2', '2:1: a second document begins here; a compose file has one'],
  [
    'services: { a: { image: x }',
    '1:28: is no YAML: flow map in block collection must be sufficiently indented and end with a }',
  ],
  ['a: b: c', '1:4: is no YAML: nested mappings are not allowed in compact mappings'],
  ["a: 'x", "1:6: is no YAML: missing closing 'quote"],
  [`${a}\nname: a\nname: b`, '3:1: key "name" is given twice (first in line 2)'],
  ['services: { a: { image: x, image: y } }', '1:28: key "image" is given twice (first in line 1)'],
  [`? [a]\n: b\n${a}`, '1:3: a key that is no word'],
  ['x-a: &a { b: *a }', '1:14: alias *a lies inside its own anchor and would never end'],
  ['x-a: &a\n  <<: *a\n', '2:7: alias *a lies inside its own anchor and would never end'],
  ['services: *none', '1:11: alias *none has no anchor before it'],
  [`${a}\nx-a: { <<: text }`, '2:8: merge key << takes a map, an alias of one, or a list of these'],
  [
    'services: { a: { image: !reset x } }',
    '1:32: tag !reset is not done by gantry stack deploy: write the file without it',
  ],
  ['services: { a: { image: !foo x } }', '1:30: tag !foo is not known'],
];

for (const [text, ...problems] of ofFile)
  test(`the file ${JSON.stringify(text.slice(0, 80))} is refused with its place`, () => {
    assert.deepEqual(
      problemsOf(text),
      problems.map((problem) => `compose.yaml:${problem}`),
    );
  });

test('a stack needs a name that it can have', () => {
  assert.deepEqual(problemsOf(a, { projectName: '' }), [
    'compose.yaml:1:1: neither the command nor the file names the stack',
  ]);
  assert.deepEqual(problemsOf(`name: My\n${a}`, { projectName: '' }), [
    'compose.yaml:1:7: name is "My", no name for a stack: lower-case letters, digits, - and _, at most 63, first a letter or digit',
  ]);
  assert.match(
    problemsOf(a, { projectName: 'a b' }).join(),
    /the stack's name is "a b", no name for a stack/,
  );
});

test('without a file there is no stack', () => {
  assert.deepEqual(problemsOf([]), ['compose.yaml:1:1: no file is given']);
});

test('each refused key of a service is refused by name, whatever its value', () => {
  const refused = composeKeys.filter(
    ({ path, status }) => status === 'refused' && /^services\.\*\.[a-z_]+$/.test(path),
  );
  assert.ok(refused.length > 30);
  for (const { path, note } of refused) {
    const key = path.replace('services.*.', '');
    for (const value of ['', '1', '[x]', '{ x: y }'])
      assert.deepEqual(problemsOf(fileOf(`${key}: ${value}`)), [
        `compose.yaml:4:5: services.a.${key} is not done by gantry stack deploy: ${note}`,
      ]);
  }
});
