-- Everything that waits, and what tells why: now, claims, the limit of all, the limit of a repository, then as hashes
-- the entries, the claims by repository, the limits, and the tasks that are claimed.
local limit = tonumber(call('HGET', LIMITS, 'per_repo') or DEFAULT_PER_REPO)
return finish({
  now,
  call('HLEN', HELD),
  global_limit(),
  limit,
  call('HGETALL', ENTRIES),
  call('HGETALL', AT_WORK),
  call('HGETALL', LIMITS),
  call('HKEYS', HELD),
})
