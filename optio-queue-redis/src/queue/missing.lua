-- Those of some tasks that neither wait nor are claimed. ARGV: the tasks, at least one.
local waiting, claimed = call('HMGET', ENTRIES, unpack(ARGV)), call('HMGET', HELD, unpack(ARGV))
local answer = {}
for i, task in ipairs(ARGV) do
  if not waiting[i] and not claimed[i] then
    table.insert(answer, task)
  end
end
return finish(answer)
