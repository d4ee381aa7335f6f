import { busyboxLayer } from './busybox.js';
import type { ImageSource } from './oci-layout.js';

const page = `<!doctype html>
<title>Gantry</title>
<h1>Hello from a container</h1>
<p>This page was served by busybox httpd, root in its own user namespace and nobody outside it.</p>
`;

/** The demo's image: busybox below, a page above, a web server as its command. */
export const siteImage = (): ImageSource => ({
  reference: 'demo.gantry/site:1',
  layers: [
    busyboxLayer(),
    [
      { path: 'www/', kind: 'directory' },
      { path: 'www/index.html', kind: 'file', content: page },
    ],
  ],
  defaults: {
    Cmd: ['httpd', '-f', '-v', '-p', '80', '-h', '/www'],
    Env: ['PATH=/bin:/usr/bin'],
    ExposedPorts: { '80/tcp': {} },
    Labels: { 'gantry.demo': 'site' },
  },
});
