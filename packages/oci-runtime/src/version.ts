/** The release; a test compares it with package.json. */
export const version = '0.1.0';

/** The newest runtime-spec whose config.json is understood, and the oldest. */
export const newestSpec = '1.3.0';
export const oldestSpec = '1.0.0';

/** The first line's form is what docker looks for. */
export function versionText(): string {
  return `gantry-oci version ${version}\nspec: ${newestSpec}\n`;
}
