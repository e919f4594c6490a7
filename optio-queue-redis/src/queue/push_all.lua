-- Puts entries in, in place of older ones. ARGV: task, repo, score, delay in ms, job, of each in turn.
local due = {}
for i = 1, #ARGV, 5 do
  local task = ARGV[i]
  local entry = make(ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
  if call('HSETNX', ENTRIES, task, entry) == 0 then
    take(task)
    call('HSET', ENTRIES, task, entry)
  end
  local repo = put(task, entry)
  if repo then
    due[repo] = true
  end
end
for repo in pairs(due) do
  offer(repo)
end
return finish(1)
