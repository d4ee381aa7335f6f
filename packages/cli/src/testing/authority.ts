import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface IssuedCertificate {
  /** PEM; the authority's certificate is its last. */
  readonly chain: string;
  readonly key: string;
}

/** A cluster's certificate authority, made with openssl(1): another implementation than the one that is tried. */
export class TestAuthority {
  readonly certificate: string;
  readonly fingerprint: string;
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.#openssl(
      ...[
        'req',
        '-x509',
        ...newKey,
        '-keyout',
        'ca.key',
        '-out',
        'ca.pem',
        '-days',
        '2',
        '-subj',
        '/CN=authority',
      ],
      ...['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign'],
    );
    this.certificate = readFileSync(join(directory, 'ca.pem'), 'utf8');
    this.fingerprint = new X509Certificate(this.certificate).fingerprint256.replaceAll(':', '').toLowerCase();
  }

  /** For a server, unless its use is another. `names` as openssl writes them: "IP:127.0.0.1,DNS:localhost". */
  issue(names: string, use = 'serverAuth,clientAuth', days = 1): IssuedCertificate {
    this.#openssl('req', ...newKey, '-keyout', 'leaf.key', '-out', 'leaf.csr', '-subj', '/CN=node');
    writeFileSync(
      join(this.#directory, 'leaf.ext'),
      `basicConstraints=critical,CA:FALSE\nsubjectAltName=${names}\nextendedKeyUsage=${use}\n`,
    );
    this.#openssl(
      ...['x509', '-req', '-in', 'leaf.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
      ...['-days', String(days), '-extfile', 'leaf.ext', '-out', 'leaf.pem'],
    );
    return {
      chain: readFileSync(join(this.#directory, 'leaf.pem'), 'utf8') + this.certificate,
      key: readFileSync(join(this.#directory, 'leaf.key'), 'utf8'),
    };
  }

  #openssl(...words: string[]): void {
    execFileSync('openssl', words, { cwd: this.#directory, stdio: ['ignore', 'ignore', 'pipe'] });
  }
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
