import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { refusalOf } from '@gantry/membership/server-certificate';
import { ApiFailure, NobodyAnswers } from '../failures.js';
import type { RemoteAddress } from './remote-transport.js';

const connectTimeoutMs = 10_000;
const keepAliveMs = 15_000;

/**
 * Connects to a server whose certificate was signed by the authority with this fingerprint, and is for this address.
 * The system's authorities have no say: the chain is checked here, before a byte is sent.
 */
export function openPinned(
  remote: RemoteAddress,
  address: string,
  caFingerprint: string,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const { host, port } = remote;
    const socket = connect({
      host,
      port,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      minVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    });
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(
      () => fail(absent(address, `no answer from ${address} within ${connectTimeoutMs / 1000} s`)),
      connectTimeoutMs,
    );
    const onError = (error: NodeJS.ErrnoException): void => fail(describe(error, host, address));
    const onClose = (): void =>
      fail(absent(address, `${address} closed the connection before it showed a certificate`));
    socket.once('error', onError).once('close', onClose);
    socket.once('secureConnect', () => {
      const why = refusalOf(socket.getPeerX509Certificate(), host, caFingerprint);
      if (why !== undefined) {
        fail(
          new ApiFailure({
            code: 'permission_denied',
            object: address,
            message: `${address} ${why}; nothing was sent to it`,
          }),
        );
        return;
      }
      clearTimeout(timer);
      socket.off('error', onError).off('close', onClose);
      // Failures are seen by whoever reads.
      socket.on('error', () => undefined);
      socket.setKeepAlive(true, keepAliveMs);
      resolve(socket);
    });
  });
}

const absent = (address: string, message: string): NobodyAnswers =>
  new NobodyAnswers({ object: address, message });

function describe(error: NodeJS.ErrnoException, host: string, address: string): ApiFailure {
  switch (error.code) {
    case 'ECONNREFUSED':
      return absent(
        address,
        `nothing listens at ${address}: is gantry up there, and the node in a cluster? (the api of a node in no cluster is its socket alone)`,
      );
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return absent(address, `the name ${host} has no address`);
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return absent(address, `${address} cannot be reached (${error.code})`);
    default:
      return absent(address, `${address} does not speak TLS as gantry's api does: ${error.message}`);
  }
}
