-- Gives a slot back and lets the entry wait again.
-- ARGV: task, token, and the entry: repo, score, delay in ms, job. Returns 1, or 0 if the claim is lost.
local task, token, repo, score, delay, job = unpack(ARGV)
local claim = claim_of(task, token)
if not claim then
  return finish(0)
end
let_go(task, claim)
wait_again(task, make(repo, score, delay, job))
return finish(1)
