export {
  membershipPaths,
  readMembership,
  readView,
  writeClusterFile,
  writeMembership,
  writeView,
  type MembershipPaths,
  type MembershipRecord,
} from './membership-files.js';
