// Exits 0 when node_modules holds exactly what package-lock.json asks for, 1 when `npm ci` is due.
// npm writes what it installed to node_modules/.package-lock.json; comparing the two costs milliseconds.
import { existsSync, readFileSync } from 'node:fs';

const lockfile = (path) => JSON.parse(readFileSync(path, 'utf8')).packages;

function isCurrent() {
  if (!existsSync('node_modules/.package-lock.json')) return false;
  const wanted = lockfile('package-lock.json');
  const present = lockfile('node_modules/.package-lock.json');
  for (const [path, entry] of Object.entries(wanted)) {
    if (!path.includes('node_modules/')) continue;
    if (entry.link) {
      if (!existsSync(path)) return false;
      continue;
    }
    const found = present[path];
    // Optional packages of other processors and systems are rightly absent.
    if (found === undefined && entry.optional) continue;
    if (found?.version !== entry.version || !existsSync(path)) return false;
  }
  return true;
}

process.exit(isCurrent() ? 0 : 1);
