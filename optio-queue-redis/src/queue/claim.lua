-- Takes the best entry that the limits allow.
-- ARGV: worker, token, lease in ms, 'known' if the caller knows the limits.
-- Returns the job; nothing if there is none; 'limits' if they were lost and the caller knows them.
local worker, token, lease, knows = unpack(ARGV)
if knows == 'known' and call('HEXISTS', COUNTS, 'global') == 0 then
  return finish('limits')
end
local task = best()
while task do
  local entry = pick(task)
  if entry then
    hold(task, entry, worker, token, tonumber(lease))
    local _, _, _, job = parts(entry)
    return finish(job)
  end
  -- a server that evicts keys may have lost the entry of what stood first
  call('ZREM', HEADS, task)
  task = best()
end
return finish(false)
