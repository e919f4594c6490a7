-- The state of the queue and the steps that all scripts share. Stands in front of each script; the defaults of the
-- limits stand in front of this.
--
-- KEYS[1] is the prefix of every key. It carries a hash tag, so whatever is derived from it lies in the same slot.
--
-- entries   hash  task -> entry, everything that waits; an entry is "repo|score|due|job", the moment `due` in ms of this
--                 server's clock. It is in `due`, in `delayed`, or stands behind a claim on its own task
-- due:REPO  zset  tasks that may start, by score; equal scores stand in the order of their ids
-- repos     set   repositories with something due
-- delayed   zset  tasks that may not start yet, by the moment when they may
-- heads     zset  the best due task of each repository that has a free slot;  head_of  hash  repo -> that task
-- held      hash  task -> the entry that is claimed;  holder, token  hash  task -> whose claim it is, and which
-- leases    zset  claimed tasks by the end of their lease
-- at_work   hash  repo -> how many claims
-- limits    hash  global, per_repo, and a field for each repository that has one of its own
-- changes         counts the changes that may let somebody claim

local P = KEYS[1]
local ENTRIES, DUE, REPOS, DELAYED = P .. 'entries', P .. 'due:', P .. 'repos', P .. 'delayed'
local HEADS, HEAD_OF = P .. 'heads', P .. 'head_of'
local HELD, HOLDER, TOKEN, LEASES = P .. 'held', P .. 'holder', P .. 'token', P .. 'leases'
local AT_WORK, LIMITS, CHANGES, WAKE = P .. 'at_work', P .. 'limits', P .. 'changes', P .. 'wake'

local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local changed = false

-- A whole number as text; `..` would round it to 14 digits.
local function whole(number)
  return string.format('%.0f', number)
end

-- An entry that may start after a delay of this many ms.
local function make(repo, score, delay, job)
  local due = tonumber(delay) > 0 and whole(now + tonumber(delay)) or '0'
  return table.concat({ repo, score, due, job }, '|')
end

-- repo, score, due, job of an entry.
local function parts(entry)
  return string.match(entry, '^([^|]*)|([^|]*)|([^|]*)|(.*)$')
end

local function global_limit()
  return tonumber(call('HGET', LIMITS, 'global') or DEFAULT_GLOBAL)
end

local function has_slot(repo)
  local limits = call('HMGET', LIMITS, repo, 'per_repo')
  local limit = tonumber(limits[1] or limits[2] or DEFAULT_PER_REPO)
  return tonumber(call('HGET', AT_WORK, repo) or 0) < limit
end

-- Makes `heads` agree with what is due and at work in a repository.
local function refresh(repo)
  local before = call('HGET', HEAD_OF, repo)
  local first = {}
  if has_slot(repo) then
    first = call('ZRANGE', DUE .. repo, 0, 0, 'WITHSCORES')
  end
  local head = first[1] or false
  if before and before ~= head then
    call('ZREM', HEADS, before)
  end
  if head then
    call('ZADD', HEADS, first[2], head)
    call('HSET', HEAD_OF, repo, head)
  elseif before then
    call('HDEL', HEAD_OF, repo)
  end
end

-- Finds the place of an entry that is in none.
local function settle(task)
  changed = true
  local entry = call('HGET', ENTRIES, task)
  if not entry or call('HEXISTS', HELD, task) == 1 then
    return -- gone, or it stands behind the claim
  end
  local repo, score, due = parts(entry)
  if tonumber(due) > now then
    call('ZADD', DELAYED, due, task)
  else
    call('ZADD', DUE .. repo, score, task)
    call('SADD', REPOS, repo)
    refresh(repo)
  end
end

-- Puts an entry back, unless a newer one was pushed meanwhile.
local function wait_again(task, entry)
  call('HSETNX', ENTRIES, task, entry)
  settle(task)
end

-- Takes a waiting entry out.
local function take(task)
  local entry = call('HGET', ENTRIES, task)
  if not entry then
    return false
  end
  local repo = parts(entry)
  call('HDEL', ENTRIES, task)
  call('ZREM', DELAYED, task)
  if call('ZREM', DUE .. repo, task) == 1 then
    if call('EXISTS', DUE .. repo) == 0 then
      call('SREM', REPOS, repo)
    end
    refresh(repo)
  end
  return entry
end

-- Takes a slot.
local function hold(task, entry, worker, token, lease)
  local repo = parts(entry)
  call('HSET', HELD, task, entry)
  call('HSET', HOLDER, task, worker)
  call('HSET', TOKEN, task, token)
  call('ZADD', LEASES, whole(now + lease), task)
  call('HINCRBY', AT_WORK, repo, 1)
  refresh(repo)
end

-- Gives a slot back.
local function let_go(task)
  local entry = call('HGET', HELD, task)
  if not entry then
    call('ZREM', LEASES, task)
    return false
  end
  changed = true
  call('HDEL', HELD, task)
  call('HDEL', HOLDER, task)
  call('HDEL', TOKEN, task)
  call('ZREM', LEASES, task)
  local repo = parts(entry)
  if call('HINCRBY', AT_WORK, repo, -1) <= 0 then
    call('HDEL', AT_WORK, repo)
  end
  refresh(repo)
  return entry
end

local function holds(task, token)
  return call('HGET', TOKEN, task) == token
end

-- The next moment at which time alone changes something.
local function deadline()
  local delay = call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')[2]
  local lease = call('ZRANGE', LEASES, 0, 0, 'WITHSCORES')[2]
  if delay and lease then
    return math.min(tonumber(delay), tonumber(lease))
  end
  return tonumber(delay or lease)
end

-- The task that is next, if the limits allow one.
local function best()
  if call('HLEN', HELD) >= global_limit() then
    return false
  end
  return call('ZRANGE', HEADS, 0, 0)[1] or false
end

local deadline_before = deadline()

-- Tells who waits, if there is something in it for them: something to claim, or an earlier moment to look again. The
-- counter starts at the time of day, so it does not repeat itself when everything was lost.
local function finish(answer)
  if changed then
    call('SET', CHANGES, whole(now * 1000), 'NX')
    call('INCR', CHANGES)
  end
  local deadline_now = deadline()
  local sooner = deadline_now and (not deadline_before or deadline_now < deadline_before)
  if changed or sooner then
    call('PUBLISH', WAKE, '')
  end
  return answer
end

-- Ends the leases and delays that are over.
local function over(key)
  return call('ZRANGEBYSCORE', key, '-inf', whole(now), 'LIMIT', 0, 500)
end

local tasks = over(DELAYED)
while tasks[1] do
  for _, task in ipairs(tasks) do
    call('ZREM', DELAYED, task)
    settle(task)
  end
  tasks = over(DELAYED)
end
tasks = over(LEASES)
while tasks[1] do
  for _, task in ipairs(tasks) do
    local entry = let_go(task)
    if entry then
      wait_again(task, entry)
    end
  end
  tasks = over(LEASES)
end
