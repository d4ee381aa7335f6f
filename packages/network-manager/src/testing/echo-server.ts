/** Answers every connection, or datagram, with the peer's address and closes. Arguments: tcp|udp PORT [ADDRESS]. Prints "ready". */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const [, , protocol, port, address = '0.0.0.0'] = process.argv;
if (protocol === 'udp') {
  const socket = createSocket('udp4');
  socket.on('message', (_bytes, from) => socket.send(`peer ${from.address}\n`, from.port, from.address));
  socket.bind(Number(port), address, () => process.stdout.write('ready\n'));
} else {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(`peer ${socket.remoteAddress ?? ''}\n`);
  });
  server.listen(Number(port), address, () => process.stdout.write('ready\n'));
}
