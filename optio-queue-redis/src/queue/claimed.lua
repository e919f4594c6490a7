-- The tasks that are claimed, each followed by its worker.
return finish(call('HGETALL', HOLDER))
