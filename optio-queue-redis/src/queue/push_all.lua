-- Puts entries in, in place of older ones. ARGV: task, repo, score, delay in ms, job, of each in turn.
for i = 1, #ARGV, 5 do
  local task = ARGV[i]
  take(task)
  call('HSET', ENTRIES, task, make(ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]))
  settle(task)
end
return finish(1)
