-- Gives an entry another place, if it still is what the caller read. ARGV: task, the entry as read, score, job.
-- Returns 1, or 0 if it is another one by now.
local task, read, score, job = unpack(ARGV)
if call('HGET', ENTRIES, task) ~= read then
  return finish(0)
end
local repo, _, due = parts(read)
take(task)
call('HSET', ENTRIES, task, table.concat({ repo, score, due, job }, '|'))
settle(task)
return finish(1)
