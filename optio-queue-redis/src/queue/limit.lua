-- Sets the limits. ARGV: names and numbers in turn. Returns the generation.
for _, field in ipairs(call('HKEYS', COUNTS)) do
  if string.sub(field, 1, 6) == 'limit:' then
    call('HDEL', COUNTS, field)
  end
end
for i = 1, #ARGV, 2 do
  call('HSET', COUNTS, ARGV[i], ARGV[i + 1])
end
changed = true
for _, repo in ipairs(call('SMEMBERS', REPOS)) do
  refresh(repo)
end
call('SETNX', GENERATION, time[1] .. '.' .. time[2])
return finish(call('GET', GENERATION))
