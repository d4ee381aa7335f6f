import type { common, image, node } from '@gantry/protocol';
import { clusterAnswers, clusterCreatedRoutes } from './cluster-answers.js';
import { portBindingSchema } from './container-schemas.js';
import { closed, flag, list, message, text, textMap, texts, uint32, uint64, type Schema } from './schema.js';

/** What routes answer, for the OpenAPI document. Answers are not checked against it: they come from typed messages. */
const unixMs = (description: string): Schema => ({
  type: 'integer',
  description: `${description}, milliseconds since 1970`,
});
const integer = (description: string): Schema => ({ type: 'integer', description });

export const errorSchema = closed(
  {
    code: text('one of the fixed codes, such as not_found'),
    message: text('one sentence naming the object'),
    operation: text('what was being done'),
    object: text('id, name or path; may be empty'),
  },
  ['code', 'message', 'operation', 'object'],
  'failure',
);

const containerSummary = message<node.ContainerSummary>({
  id: text('64 hex digits'),
  name: text('name'),
  image: text('as it was asked for'),
  imageId: text('digest of its configuration'),
  command: text('command line'),
  createdUnixMs: unixMs('creation'),
  state: text('created, running, paused, restarting, exited, removing or dead'),
  status: text('for people'),
  ports: list(portBindingSchema, 'published ports'),
  labels: textMap('labels'),
  ipAddress: text('empty without one'),
  health: text('empty, starting, healthy or unhealthy'),
  exitCode: integer('of the last end'),
  pid: uint32('of the first process, on the host'),
  mounts: texts('targets'),
  network: text('mode'),
  writableBytes: uint64('written by it; 0 unless asked for'),
});

const imageProperties: Readonly<Record<keyof Omit<image.Image, 'configJson'>, Schema>> = {
  id: text('digest of the configuration'),
  references: texts('names'),
  digests: texts('name@digest'),
  platform: text('os/arch'),
  createdUnixMs: unixMs('creation'),
  sizeBytes: uint64('on disk'),
  labels: textMap('labels'),
  diffIds: texts('layers, bottom first'),
  containerCount: uint32('containers that use it'),
};
const imageSummary = closed(imageProperties);

const volume = message<node.Volume>({
  name: text('name'),
  mountpoint: text('directory on the host'),
  createdUnixMs: unixMs('creation'),
  labels: textMap('labels'),
  anonymous: flag('made for one container'),
  containerIds: texts('users'),
  sizeBytes: uint64('0 unless asked for'),
});

const event = message<common.NodeEvent>({
  timeUnixNanos: { type: 'number', description: 'nanoseconds since 1970' },
  type: text('container, image, volume or network'),
  action: text('start, die, ...'),
  id: text('object'),
  attributes: list(closed({ key: text('name'), value: text('value') }), 'more'),
});

const pruned = closed({ deleted: texts('what was removed'), reclaimedBytes: uint64('space that came back') });
const warnings = texts('what was done otherwise than asked');
const progress = closed({
  layer: message<image.LayerProgress>({
    digest: text('blob'),
    status: text('waiting, downloading, extracting, done or exists'),
    currentBytes: uint64('processed'),
    totalBytes: uint64('0 when unknown'),
  }),
  image: imageSummary,
});

/** By method and path of the route. A stream's schema is that of one line. */
export const answers: Readonly<Record<string, Schema>> = {
  'POST /v1/containers': message<node.CreateContainerResponse>({
    id: text('64 hex digits'),
    warnings,
    name: text('name'),
  }),
  'GET /v1/containers': closed({ containers: list(containerSummary, 'containers') }),
  'PATCH /v1/containers/:container': closed({ warnings }),
  'POST /v1/containers/:container/start': closed({ pid: uint32('of the first process, on the host') }),
  'GET /v1/containers/:container/processes': closed({
    titles: texts('columns'),
    rows: list(closed({ cells: texts('one a column') }), 'processes'),
  }),
  'GET /v1/containers/:container/explain': closed({
    sections: list(closed({ title: text('title'), lines: texts('facts') }), 'sections'),
  }),
  'POST /v1/containers/:container/execs': closed({ execId: text('64 hex digits') }),
  'GET /v1/execs/:exec': message<node.InspectExecResponse>({
    containerId: text('whose'),
    running: flag('still runs'),
    exitCode: integer('absent while it runs'),
    pid: uint32('on the host'),
  }),
  'POST /v1/containers/stop-all': closed({ stoppedCount: uint32('how many') }),
  'POST /v1/containers/prune': pruned,
  'POST /v1/containers/:container/wait': closed({
    registered: flag('first line: no exit can be missed from now'),
    exitCode: integer('last line'),
    message: text('why there is no better exit code'),
  }),
  'GET /v1/events': event,
  'GET /v1/cluster/events': event,
  'GET /v1/images': closed({ images: list(imageSummary, 'images') }),
  'GET /v1/images/:image': closed({
    ...imageProperties,
    config: { type: 'object', additionalProperties: true, description: 'image configuration document' },
  }),
  'DELETE /v1/images/:image': closed({ untagged: texts('names'), deleted: texts('digests') }),
  'POST /v1/images/pull': progress,
  'POST /v1/images/load': progress,
  'POST /v1/images/prune': pruned,
  'GET /v1/volumes': closed({ volumes: list(volume, 'volumes') }),
  'POST /v1/volumes': volume,
  'POST /v1/volumes/prune': pruned,
  'GET /v1/version': closed({
    version: text('of this api'),
    nodeId: text('node'),
    apiVersion: text('v1'),
    nodeJs: text('of Node.js'),
  }),
  ...clusterAnswers,
};

const createdRoutes = new Set([
  ...clusterCreatedRoutes,
  'POST /v1/containers',
  'POST /v1/volumes',
  'POST /v1/containers/:container/execs',
]);

/** Responses of a route as OpenAPI has them. */
export function responsesOf(method: string, path: string): Record<string, Schema> {
  const route = `${method} ${path}`;
  const answer = answers[route];
  return {
    ...(answer === undefined ? {} : { [createdRoutes.has(route) ? '201' : '200']: answer }),
    default: errorSchema,
  };
}
