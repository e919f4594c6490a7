-- Sets the limits. ARGV: the limit of all, the limit of each repository, then repositories with limits of their own and
-- these in turn. Returns the generation.
write_back()
for _, repo in ipairs(call('SMEMBERS', LIMITED)) do
  call('HDEL', REPO .. repo, 'limit')
end
call('DEL', LIMITED)
call('HSET', LIMITS, 'global', ARGV[1], 'per_repo', ARGV[2])
global, per_repo, seen = nil, nil, {} -- read again
for i = 3, #ARGV, 2 do
  call('SADD', LIMITED, ARGV[i])
  call('HSET', REPO .. ARGV[i], 'limit', ARGV[i + 1])
end
changed = true
for _, repo in ipairs(call('SMEMBERS', REPOS)) do
  touch(repo)
end
call('SETNX', GENERATION, time[1] .. '.' .. time[2])
return finish(call('GET', GENERATION))
