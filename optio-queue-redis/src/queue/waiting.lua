-- Everything that waits, and what tells why: now, claims, the limit of all, the limit of a repository, then the entries
-- as a hash, for each repository with something due its name, its claims and its own limit or '', and the tasks that are
-- claimed.
local counts = {}
for _, repo in ipairs(call('SMEMBERS', REPOS)) do
  local of = call('HMGET', REPO .. repo, 'work', 'limit')
  table.insert(counts, { repo, of[1] or '0', of[2] or '' })
end
local most, each = limits()
return finish({
  now,
  call('HLEN', HELD),
  most,
  each,
  call('HGETALL', ENTRIES),
  counts,
  call('HKEYS', HELD),
})
