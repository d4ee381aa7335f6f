import assert from 'node:assert/strict';
import { test } from 'node:test';
import { control } from '@gantry/protocol';
import { inState, newTaskRecord, withOrders } from './task-record.js';

test('the credential is kept for as long as the task may need it, and given up when it has ended', () => {
  const assigned = {
    task: control.TaskCodec.decode(
      control.TaskCodec.encode({ id: 't1', status: { state: 'TASK_STATE_ASSIGNED' } }),
    ),
    credential: control.RegistryCredentialCodec.decode(
      control.RegistryCredentialCodec.encode({ password: 'secret' }),
    ),
  };
  const begun = newTaskRecord(assigned, 1);
  assert.equal(begun.credential?.password, 'secret');
  assert.equal(
    inState(begun, { state: 'running', message: '' }, 2).credential?.password,
    'secret',
    'it may be pulled again',
  );
  const ended = inState(begun, { state: 'failed', message: 'no' }, 2);
  assert.ok(!JSON.stringify(ended).includes('secret'));
  assert.equal(withOrders(ended, assigned), ended, 'told again, it is not taken up again');
});
