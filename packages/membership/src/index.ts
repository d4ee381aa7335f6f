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
export {
  hashSecret,
  makeToken,
  parseToken,
  secretFits,
  type JoinRole,
  type NewToken,
  type Token,
  type TokenKind,
} from './tokens.js';
