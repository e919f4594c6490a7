-- Makes a claim last from now on. ARGV: task, token, lease in ms. Returns 1, or 0 if the claim is lost.
local task, token, lease = unpack(ARGV)
if not claim_of(task, token) then
  return finish(0)
end
at_latest(LEASES, now + tonumber(lease), task)
return finish(1)
