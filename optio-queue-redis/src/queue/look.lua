-- What somebody who waits has to know. ARGV: the generation that the caller knows.
-- Returns 2 if everything was lost, 1 if there is something to claim, else 0; the count of changes; the ms until time
-- changes something, else -1.
local ready = lost(ARGV[1]) and 2 or best() and 1 or 0
local answer = finish(ready)
local at = deadline()
return { answer, call('GET', CHANGES) or '0', at and math.max(at - now, 0) or -1 }
