-- Gives a slot back; the entry is gone. ARGV: task, token. Returns 1, or 0 if the claim is lost.
local task, token = unpack(ARGV)
local claim = claim_of(task, token)
if not claim then
  return finish(0)
end
let_go(task, claim)
settle(task)
return finish(1)
