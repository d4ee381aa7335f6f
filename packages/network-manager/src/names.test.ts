import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NameTable } from './names.js';

const [web1, web2, db, stranger, other] = [11, 12, 13, 14, 15] as const;

function shop(): NameTable {
  const names = new NameTable();
  names.set('w1', web1, { names: ['shop_web.1'], scope: 'shop', aliases: ['web', 'Front'] });
  names.set('w2', web2, { names: ['shop_web.2'], scope: 'shop', aliases: ['web'] });
  names.set('d', db, { names: ['shop_db.1'], scope: 'shop', aliases: ['db'] });
  names.set('o', other, { names: ['blog_web.1'], scope: 'blog', aliases: ['web'] });
  names.set('s', stranger, { names: ['db'] });
  return names;
}

test('an alias leads to all that have it, for containers of the same scope and nobody else', () => {
  const names = shop();
  assert.deepEqual(names.addressesOf('WEB', db), [web1, web2]);
  assert.deepEqual(names.addressesOf('front.', web2), [web1]);
  assert.deepEqual(names.addressesOf('web', other), [other]);
  assert.equal(names.addressesOf('web', stranger), undefined);
  assert.equal(names.addressesOf('web'), undefined);
});

test('container names lead everywhere, but an alias of the own scope comes first', () => {
  const names = shop();
  assert.deepEqual(names.addressesOf('blog_web.1', db), [other]);
  assert.deepEqual(names.addressesOf('db', web1), [db]);
  assert.deepEqual(names.addressesOf('db', other), [stranger]);
});

test('aliases without a scope are none', () => {
  const names = new NameTable();
  names.set('a', 1, { names: ['a'], aliases: ['alias'] });
  assert.equal(names.addressesOf('alias', 1), undefined);
});

test('an alias goes with the last container that has it', () => {
  const step = fc.record({
    id: fc.constantFrom('a', 'b', 'c'),
    scope: fc.constantFrom('', 'one', 'two'),
    aliases: fc.array(fc.constantFrom('x', 'Y'), { maxLength: 2 }),
    gone: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const names = new NameTable();
      const model = new Map<string, { scope: string; aliases: string[] }>();
      const addressOf = (id: string): number => id.charCodeAt(0);
      for (const { id, scope, aliases, gone } of steps) {
        if (gone) names.delete(id);
        else names.set(id, addressOf(id), { names: [id], scope, aliases });
        if (gone) model.delete(id);
        else model.set(id, { scope, aliases: aliases.map((alias) => alias.toLowerCase()) });
      }
      for (const [asker, { scope }] of model)
        for (const alias of ['x', 'y']) {
          const expected = [...model]
            .filter(([, one]) => scope !== '' && one.scope === scope && one.aliases.includes(alias))
            .map(([id]) => addressOf(id));
          assert.deepEqual((names.addressesOf(alias, addressOf(asker)) ?? []).sort(), expected.sort());
        }
    }),
  );
});
