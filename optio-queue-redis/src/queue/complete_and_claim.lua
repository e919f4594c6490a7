-- Gives a slot back and takes the best entry that the limits allow then.
-- ARGV: task, token, worker, the new token, lease in ms, the generation that the caller knows.
-- Returns the job; nothing if there is none; 'lost' if everything was lost, 'void' if the claim is.
local task, token, worker, fresh, lease, generation = unpack(ARGV)
if lost(generation) then
  return finish('lost')
end
if not holds(task, token) then
  return finish('void')
end
let_go(task)
settle(task)
local job = claim_best(worker, fresh, lease)
-- those who wait are woken only if there is something left for them
changed = best() ~= false
return finish(job)
