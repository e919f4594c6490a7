-- Takes the slot of a run that is at work, whatever the limits say.
-- ARGV: task, repo, score, delay in ms, job, worker, token, lease in ms.
-- Returns nothing, or who else holds a claim on the task.
local task, repo, score, delay, job, worker, token, lease = unpack(ARGV)
local claim = call('HGET', HELD, task)
if claim then
  local _, holder = claim_parts(claim)
  if holder ~= worker then
    return finish(holder)
  end
  let_go(task, claim)
end
take(task)
hold(task, repo, make(repo, score, delay, job), worker, token, tonumber(lease))
return finish(false)
