-- Takes the best entry that the limits allow.
-- ARGV: worker, token, lease in ms, the generation that the caller knows.
-- Returns the job; nothing if there is none; 'lost' if everything was lost.
local worker, token, lease, generation = unpack(ARGV)
if lost(generation) then
  return finish('lost')
end
return finish(claim_best(worker, token, lease))
