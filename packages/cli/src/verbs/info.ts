import type { Command } from 'commander';
import type { NodeInfo } from '../client/types.js';
import type { Context } from '../context.js';
import { ApiFailure, ExitWith } from '../failures.js';
import { humanBinarySize } from '../output/human.js';
import { complain, print } from '../output/print.js';
import { formatTable } from '../output/table.js';
import { version } from '../version.js';

export function configureInfo(command: Command, context: () => Context): void {
  command
    .usage('[flags]')
    .option('-f, --format <format>', "json, or a template such as '{{.nodeId}}'")
    .action(async ({ format }: { format?: string }) => {
      const { client } = context();
      const info = await client.get<NodeInfo>('/v1/info');
      if (format === 'json') print(JSON.stringify(info));
      else if (format !== undefined)
        print((await import('../output/template.js')).compileTemplate(format)(info));
      else print(layOut(info, client.address));
    });
}

const cgroupNames: Readonly<Record<number, string>> = { 1: 'v1', 2: 'v2', 3: 'v1 and v2 (hybrid)' };

function layOut(info: NodeInfo, address: string): string {
  const facts: [string, string][] = [
    ['Node', `${info.nodeId ?? '?'} (${info.hostname ?? '?'})`],
    ['Version', info.version ?? '?'],
    ['System', `${info.operatingSystem ?? '?'}, Linux ${info.kernel ?? '?'}, ${info.architecture ?? '?'}`],
    ['Processors', String(info.cpus ?? '?')],
    ['Memory', humanBinarySize(info.memoryBytes ?? 0)],
    [
      'Containers',
      `${info.containersRunning ?? 0} running, ${info.containersPaused ?? 0} paused, ${info.containersStopped ?? 0} stopped`,
    ],
    ['Network', info.network === undefined ? '?' : `bridge ${info.network.bridge}, ${info.network.subnet}`],
    [
      'cgroups',
      info.cgroup === undefined
        ? '?'
        : `${cgroupNames[info.cgroup.version] ?? String(info.cgroup.version)}: ${info.cgroup.controllers.join(' ')}`,
    ],
    ['API', address],
  ];
  const services = info.services.map(({ name, version: running, metricsUrl, pid }) => [
    name,
    running,
    String(pid),
    `${metricsUrl}/metrics`,
  ]);
  const lines = [...facts.map(([title, fact]) => `${`${title}:`.padEnd(12)} ${fact}`), ''];
  lines.push(formatTable([['SERVICE', 'VERSION', 'PID', 'METRICS'], ...services]));
  if (info.missing.length > 0)
    lines.push(
      '',
      'This node lacks:',
      ...info.missing.map(({ reason, service }) => `  ${reason} (${service})`),
    );
  if (info.untold.length > 0)
    lines.push('', 'No answer:', ...info.untold.map(({ reason, service }) => `  ${service}: ${reason}`));
  return lines.join('\n');
}

interface ServerVersion {
  readonly version: string;
  readonly nodeId: string;
  readonly apiVersion: string;
  readonly nodeJs: string;
}

export function configureVersion(command: Command, context: () => Context): void {
  command
    .usage('[flags]')
    .option('-f, --format <format>', "json, or a template such as '{{.Client.Version}}'")
    .action(async ({ format }: { format?: string }) => {
      const client = { Version: version, NodeJs: process.versions.node };
      let server: ServerVersion | undefined;
      let failure: ApiFailure | undefined;
      try {
        server = await context().client.get<ServerVersion>('/v1/version');
      } catch (error) {
        if (!(error instanceof ApiFailure)) throw error;
        failure = error;
      }
      const described =
        server === undefined
          ? undefined
          : {
              Version: server.version,
              ApiVersion: server.apiVersion,
              NodeId: server.nodeId,
              NodeJs: server.nodeJs,
            };
      const document = { Client: client, ...(described === undefined ? {} : { Server: described }) };
      if (format === 'json') print(JSON.stringify(document));
      else if (format !== undefined)
        print((await import('../output/template.js')).compileTemplate(format)(document));
      else {
        print(`Client:\n  Version:      ${client.Version}\n  Node.js:      ${client.NodeJs}`);
        if (described !== undefined)
          print(
            `Server:\n  Version:      ${described.Version}\n  API version:  ${described.ApiVersion}\n  Node:         ${described.NodeId}\n  Node.js:      ${described.NodeJs}`,
          );
      }
      if (failure !== undefined) {
        if (format === undefined) complain(`gantry version: ${failure.message}`);
        throw new ExitWith(1);
      }
    });
}
