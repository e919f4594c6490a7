-- Everything that waits, and what tells why: now, claims, the limit of all, the limit of a repository, then as hashes
-- the entries and the counts, and the tasks that are claimed.
return finish({
  now,
  call('HLEN', HELD),
  global_limit(),
  tonumber(call('HGET', COUNTS, 'per_repo') or DEFAULT_PER_REPO),
  call('HGETALL', ENTRIES),
  call('HGETALL', COUNTS),
  call('HKEYS', HELD),
})
