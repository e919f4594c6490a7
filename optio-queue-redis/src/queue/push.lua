-- Puts an entry in, in place of an older one. ARGV: task, repo, score, delay in ms, job.
local task, repo, score, delay, job = unpack(ARGV)
take(task)
call('HSET', ENTRIES, task, make(repo, score, delay, job))
settle(task)
return finish(1)
