/** Sends one datagram and prints the answer; gives up after a second. Arguments: ADDRESS PORT [OWN PORT]. */
import { createSocket } from 'node:dgram';

const [, , address = '', port = '', own = '0'] = process.argv;
const socket = createSocket('udp4');
socket.on('message', (bytes) => {
  process.stdout.write(bytes.toString());
  process.exit(0);
});
socket.on('error', () => process.exit(1));
socket.bind(Number(own), () => socket.connect(Number(port), address, () => socket.send('hello\n')));
setTimeout(() => process.exit(1), 1_000);
