import type { control, node } from '@gantry/protocol';
import type { Command } from 'commander';
import { humanDuration } from '@gantry/protocol/human-duration';
import type { Client } from '../client/client.js';
import type { Context } from '../context.js';
import { isApiFailure, UsageFailure } from '../failures.js';
import { parseDuration } from '../flags/quantities.js';
import { printDocument } from '../output/documents.js';
import { complain, print } from '../output/print.js';
import { subcommand } from '../subcommand.js';
import { auditSubcommand, eventsSubcommand } from './cluster-history.js';

export function configureCluster(command: Command, context: () => Context): void {
  command.usage('VERB');

  subcommand(command, 'init', 'make a cluster of this node')
    .option('--address <address>', 'address under which other nodes reach this one (default: its own choice)')
    .action(async ({ address = '' }: { address?: string }) => {
      const made = await context().client.post<node.InitClusterResponse>('/v1/cluster/init', { address });
      print(`cluster ${made.clusterId} is made; this node leads it, at ${made.address}`);
      print();
      print('For each machine that joins, say here:');
      print();
      print('    gantry cluster token              # or: gantry cluster token --control');
      print();
      print('and there what it answers:');
      print();
      print(`    gantry cluster join ${made.address} --token TOKEN`);
    });

  subcommand(command, 'token', 'make a token that lets one node join, once')
    .option('--control', 'it joins as a control node, not as a worker')
    .option('--ttl <duration>', 'the token ends after this time, 60s to 720h', '24h')
    .option('-q, --quiet', 'the token alone')
    .action((flags: TokenFlags) => createToken(context(), flags));

  subcommand(command, 'join', 'take this node into a cluster')
    .argument('<address>', 'ADDRESS[:PORT] of a control node')
    .usage('[flags] ADDRESS[:PORT]')
    .requiredOption('--token <token>', 'made by `gantry cluster token` on a control node')
    .option('--address <address>', 'address under which other nodes reach this one (default: its own choice)')
    .action(async (controlAddress: string, flags: { token: string; address?: string }) => {
      const joined = await context().client.post<node.JoinClusterResponse>('/v1/cluster/join', {
        controlAddress,
        token: flags.token,
        address: flags.address ?? '',
      });
      print(`this node is in cluster ${joined.clusterId} as a ${roleOf(joined)}`);
    });

  subcommand(command, 'leave', 'take this node out of its cluster: its tasks are stopped')
    .option('-f, --force', 'also when control cannot be told, or this is the last control node')
    .action(async ({ force = false }: { force?: boolean }) => {
      await context().client.post('/v1/cluster/leave', { force });
      print('this node is in no cluster any more');
    });

  subcommand(command, 'info', "show this node's place in its cluster, and how the cluster is")
    .option('--format <format>', "json, or a template such as '{{.membership.clusterId}}'")
    .action(({ format }: { format?: string }) => showCluster(context().client, format));

  eventsSubcommand(command, context);
  auditSubcommand(command, context);

  subcommand(command, 'accept-store', 'end a freeze: take the store as it is')
    .option('--yes', 'what the store does not know is stopped, and that is meant')
    .action(async ({ yes = false }: { yes?: boolean }) => {
      if (!yes)
        throw new UsageFailure(
          'this stops every task that the store as it is now does not know; say --yes when that is meant',
        );
      const { storeGeneration } =
        await context().client.post<control.AcceptStoreResponse>('/v1/cluster/accept-store');
      print(`the store is accepted: generation ${storeGeneration}`);
    });
}

interface TokenFlags {
  control?: boolean;
  ttl: string;
  quiet?: boolean;
}

async function createToken({ client }: Context, flags: TokenFlags): Promise<void> {
  const ttlSeconds = Math.ceil(parseDuration(flags.ttl, '--ttl') / 1000);
  if (ttlSeconds === 0) throw new UsageFailure('--ttl: a token lives for 60 s at least');
  const role = flags.control === true ? 'control' : 'worker';
  const { token, addresses, expiresUnixMs } = await client.post<control.CreateJoinTokenResponse>(
    '/v1/cluster/tokens',
    { role, ttlSeconds },
  );
  print(token);
  if (flags.quiet === true) return;
  const left = humanDuration(expiresUnixMs - Date.now());
  print();
  print(`It lets one node join as a ${role}, once, for ${left}. Say there:`);
  print();
  print(`    gantry cluster join ${addresses[0] ?? 'ADDRESS'} --token ${token}`);
}

type Role = Pick<node.JoinClusterResponse, 'role' | 'controlPending'>;

const roleOf = ({ role, controlPending }: Role): string =>
  controlPending
    ? 'worker, and becomes a control node when there are three'
    : role === 'NODE_ROLE_CONTROL'
      ? 'control node'
      : 'worker';

async function showCluster(client: Client, format: string | undefined): Promise<void> {
  const membership = await client.get<node.GetMembershipResponse>('/v1/cluster/membership');
  const isMember = membership.clusterId !== '';
  let failure: string | undefined;
  let cluster: control.GetClusterResponse | undefined;
  if (isMember && membership.role === 'NODE_ROLE_CONTROL')
    try {
      cluster = await client.get<control.GetClusterResponse>('/v1/cluster');
    } catch (error) {
      // What the node itself knows is worth showing, and most so when control does not answer.
      if (!isApiFailure(error)) throw error;
      failure = error.message;
    }
  if (format !== undefined) await printDocument({ membership, cluster: cluster ?? null }, format);
  else if (isMember) print(layOut(membership, cluster));
  else
    print(
      'this node is in no cluster: make one with `gantry cluster init`, or join one with `gantry cluster join`',
    );
  if (failure !== undefined) complain(`gantry cluster: control does not answer: ${failure}`);
}

function layOut(
  membership: node.GetMembershipResponse,
  cluster: control.GetClusterResponse | undefined,
): string {
  const facts: [string, string][] = [
    ['Cluster', membership.clusterId],
    ['Node', `${membership.nodeId}, ${roleOf(membership)}`],
    ['Address', `${membership.address}, api on port ${membership.apiPort}`],
    ['Connected', membership.connected ? 'yes' : 'no: tasks run on, nothing changes until it is'],
    ['Tasks here', String(membership.tasks)],
  ];
  if (membership.leaderNodeId !== '') facts.push(['Leader', membership.leaderNodeId]);
  if (cluster !== undefined) {
    const pending =
      cluster.controlNodesPending === 0 ? '' : ` (${cluster.controlNodesPending} pending until there are 3)`;
    facts.push(
      ['Nodes', `${cluster.controlNodes} control${pending}, ${cluster.workers} workers`],
      ['Services', String(cluster.services)],
      ['Tasks', `${cluster.tasksRunning} running of ${cluster.tasks}`],
      ['Store', `generation ${cluster.storeGeneration}, revision ${cluster.revision}, term ${cluster.term}`],
    );
  }
  const frozen = membership.frozenReason !== '' ? membership.frozenReason : (cluster?.frozenReason ?? '');
  if (frozen !== '') facts.push(['Frozen', `${frozen} (see \`gantry cluster accept-store --help\`)`]);
  return facts.map(([title, fact]) => `${`${title}:`.padEnd(12)} ${fact}`).join('\n');
}
