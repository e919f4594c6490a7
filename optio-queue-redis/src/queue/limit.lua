-- Sets the limits. ARGV: names and numbers in turn.
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
return finish(1)
