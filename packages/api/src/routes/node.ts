import type { Bus } from '@gantry/bus';
import { cgroup, image, isGantryError, network, node, spawn } from '@gantry/protocol';
import type { FastifyInstance } from 'fastify';
import { callerOf, deadlines, type Caller } from '../bus-calls.js';
import type { ApiParts } from '../parts.js';

/** A fact that a service could not tell: the rest of the answer stands. */
interface Untold {
  readonly service: string;
  readonly reason: string;
}

/** Answers within this, so that `info` is of use on a node where something is broken. */
const infoDeadlineMs = 2_000;

/** The node as a whole: what it is, what runs on it, what it lacks, what its disk holds. */
export function nodeRoutes(app: FastifyInstance, { bus, version, nodeId }: ApiParts): void {
  const tags = ['node'];

  app.get('/v1/version', { schema: { tags, summary: 'Version of this api and the id of its node' } }, () => ({
    version,
    nodeId,
    apiVersion: 'v1',
    nodeJs: process.versions.node,
  }));

  app.get(
    '/v1/info',
    { schema: { tags, summary: 'The node, its services with their metrics addresses, what it lacks' } },
    (request) => describeNode(bus, callerOf(bus, request)),
  );

  app.get(
    '/v1/disk-usage',
    { schema: { tags, summary: 'Disk space of images, containers and volumes' } },
    async (request) => {
      const caller = callerOf(bus, request);
      const [images, containers] = await Promise.all([
        caller.call(image.ImageStore.methods.GetDiskUsage, {}, deadlines.patientMs),
        caller.call(node.NodeAgent.methods.GetDiskUsage, {}, deadlines.patientMs),
      ]);
      return { images, containers };
    },
  );
}

async function describeNode(bus: Bus, caller: Caller): Promise<unknown> {
  const untold: Untold[] = [];
  const ask = async <T>(service: string, asked: Promise<T>): Promise<T | undefined> => {
    try {
      return await asked;
    } catch (error) {
      untold.push({ service, reason: isGantryError(error) ? error.message : String(error) });
      return undefined;
    }
  };
  const [listing, agent, networks, cgroups, spawner] = await Promise.all([
    bus.listServices(),
    ask('node-agent', caller.call(node.NodeAgent.methods.GetNodeInfo, {}, infoDeadlineMs)),
    ask('network-manager', caller.call(network.NetworkManager.methods.GetNetworkInfo, {}, infoDeadlineMs)),
    ask('cgroup-supervisor', caller.call(cgroup.CgroupSupervisor.methods.GetCgroupInfo, {}, infoDeadlineMs)),
    ask('spawner', caller.call(spawn.Spawner.methods.GetSpawnerInfo, {}, infoDeadlineMs)),
  ]);
  const missing = [
    ...(cgroups?.missing ?? []).map((reason) => ({ service: 'cgroup-supervisor', reason })),
    ...(networks?.missing ?? []).map((reason) => ({ service: 'network-manager', reason })),
    ...(spawner?.missing ?? []).map((reason) => ({ service: 'spawner', reason })),
  ];
  return {
    ...agent,
    services: listing.map(({ name, version, metadata }) => ({
      name: name.replace(/^gantry-/, ''),
      version,
      metricsUrl: metadata['metrics_url'] ?? '',
      pid: Number(metadata['pid'] ?? 0),
    })),
    network: networks,
    cgroup: cgroups,
    spawner,
    missing,
    untold,
  };
}
