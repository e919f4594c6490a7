-- The tasks that are claimed, each followed by its worker.
local answer = {}
local claims = call('HGETALL', HELD)
for i = 1, #claims, 2 do
  local _, worker = claim_parts(claims[i + 1])
  table.insert(answer, claims[i])
  table.insert(answer, worker)
end
return finish(answer)
