-- Gives a slot back and takes the best entry that the limits allow then.
-- ARGV: task, token, worker, the new token, lease in ms, the generation that the caller knows.
-- Returns the job; nothing if there is none; 'lost' if everything was lost, 'void' if the claim is.
local task, token, worker, fresh, lease, generation = unpack(ARGV)
if lost(generation) then
  return finish('lost')
end
local claim = claim_of(task, token)
if not claim then
  return finish('void')
end
let_go(task, claim)
settle(task)
local job = claim_best(worker, fresh, lease)
-- A slot is freed and one is taken, unless there is nothing to claim: there is no more to claim than before, and of that
-- whoever waits was told.
changed = false
return finish(job)
