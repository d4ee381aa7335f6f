export { busyboxLayer } from './busybox.js';
export {
  buildLayout,
  sha256,
  writeArchive,
  writeLayout,
  type ImageDefaults,
  type ImageSource,
} from './oci-layout.js';
export { packTar, type TarEntry } from './tar.js';
