-- Where a waiting entry stands, and what tells why it waits. ARGV: task.
-- Returns nothing if it does not wait; else now, claims, the limit of all, the limit of a repository, then the entry, the
-- claims and the own limit or '' of its repository, whether its task is claimed, how many entries stand before it for sure,
-- and those that may: with the same score or moment, or behind a claim on their own task.
local task = ARGV[1]
local entry = call('HGET', ENTRIES, task)
if not entry then
  return finish(false)
end

local before, beside = 0, {}

local function compare(others)
  for _, other in ipairs(others) do
    local entry = other ~= task and call('HGET', ENTRIES, other)
    if entry then
      table.insert(beside, entry)
    end
  end
end

-- Counts what stands before a score in a set.
local function count(set, score)
  before = before + call('ZCOUNT', set, '-inf', '(' .. score)
  compare(call('ZRANGEBYSCORE', set, score, score))
end

local repo, score, due = parts(entry)
local is_due = tonumber(due) <= now
for _, other in ipairs(call('SMEMBERS', REPOS)) do
  if is_due then
    count(DUE .. other, score)
  else
    before = before + call('ZCARD', DUE .. other)
  end
end
if not is_due then
  count(DELAYED, due)
end
compare(call('HKEYS', HELD))

local of = call('HMGET', REPO .. repo, 'work', 'limit')
local most, each = limits()
return finish({
  now,
  call('HLEN', HELD),
  most,
  each,
  entry,
  of[1] or '0',
  of[2] or '',
  call('HEXISTS', HELD, task),
  before,
  beside,
})
