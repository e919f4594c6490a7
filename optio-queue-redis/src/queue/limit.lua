-- Sets the limits. ARGV: names and numbers in turn.
call('DEL', LIMITS)
for i = 1, #ARGV, 2 do
  call('HSET', LIMITS, ARGV[i], ARGV[i + 1])
end
changed = true
for _, repo in ipairs(call('SMEMBERS', REPOS)) do
  refresh(repo)
end
return finish(1)
