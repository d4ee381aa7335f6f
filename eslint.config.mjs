// Type-checked rules for TypeScript, and the floors: imports point down (see ARCHITECTURE.md). The same floors are
// checked by test/structure, which reads imports itself; here the editor shows them.
import tseslint from 'typescript-eslint';

// Before the plugin is loaded: linting starts no process that outlives it.
process.env.NX_DAEMON = 'false';
const { default: nx } = await import('@nx/eslint-plugin');

const floors = [1, 2, 3, 4, 5, 6];
const floorConstraints = floors.map((floor) => ({
  sourceTag: `floor:${floor}`,
  onlyDependOnLibsWithTags: floors.filter((lower) => lower <= floor).map((lower) => `floor:${lower}`),
}));

/** No service imports another: only messages pass between them. Only a composition root knows them all. */
const kindConstraints = [
  { sourceTag: 'kind:library', onlyDependOnLibsWithTags: ['kind:library'] },
  { sourceTag: 'kind:service', onlyDependOnLibsWithTags: ['kind:library'] },
  { sourceTag: 'kind:cli', onlyDependOnLibsWithTags: ['kind:library'] },
  { sourceTag: 'kind:demo', onlyDependOnLibsWithTags: ['kind:library', 'kind:demo'] },
  { sourceTag: 'kind:test', onlyDependOnLibsWithTags: ['kind:library', 'kind:demo', 'kind:test'] },
  { sourceTag: 'kind:root', onlyDependOnLibsWithTags: ['kind:library', 'kind:service'] },
];

export default tseslint.config(
  { ignores: ['**/node_modules/', '**/dist/', '**/build/', '**/generated/', '.nx/', 'bin/.cache/'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.base],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { '@nx': nx },
    rules: {
      '@nx/enforce-module-boundaries': [
        'error',
        {
          enforceBuildableLibDependency: false,
          allowCircularSelfDependency: true,
          allow: [],
          depConstraints: [...floorConstraints, ...kindConstraints],
        },
      ],
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/no-unsafe-argument': 'error',
      '@typescript-eslint/no-unsafe-assignment': 'error',
      '@typescript-eslint/no-unsafe-call': 'error',
      '@typescript-eslint/no-unsafe-member-access': 'error',
      '@typescript-eslint/no-unsafe-return': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/prefer-promise-reject-errors': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
  {
    // node:test gives promises that the runner awaits.
    files: ['**/*.test.ts'],
    rules: {
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['test', 'it', 'describe', 'suite'] },
          ],
        },
      ],
    },
  },
  {
    files: ['**/*.mjs'],
    rules: { eqeqeq: 'error', 'no-var': 'error', 'prefer-const': 'error', 'no-unused-vars': 'error' },
  },
);
