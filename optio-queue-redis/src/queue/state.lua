-- The state of the queue and the steps that all scripts share. Stands in front of each script; the defaults of the
-- limits stand in front of this.
--
-- KEYS[1] is the prefix of every key. It carries a hash tag, so whatever is derived from it lies in the same slot.
--
-- entries   hash  task -> entry, everything that waits; an entry is "repo|score|due|job", the moment `due` in ms of this
--                 server's clock. It is in `due`, in `delayed`, or stands behind a claim on its own task
-- due:REPO  zset  tasks that may start, by score; equal scores stand in the order of their ids
-- repos     set   repositories with something due, and perhaps some whose last entry is gone
-- delayed   zset  tasks that may not start yet, by the moment when they may
-- heads     zset  the best due task of each repository that has a free slot
-- held      hash  task -> its claim, "token|length of the worker's name|worker|entry"
-- leases    zset  claimed tasks by the end of their lease
-- limits    hash  global and per_repo, the limits
-- limited   set   repositories with a limit of their own
-- repo:REPO hash  limit, if it has one of its own; work, how many claims; head, its task in heads. One for each
--                 repository, for a small hash is read faster than a large one
-- changes         counts the changes that may let somebody claim
-- generation      made when limits are set on an empty server: who knows another one has to be told that all was lost

local P = KEYS[1]
local ENTRIES, DUE, REPOS, DELAYED = P .. 'entries', P .. 'due:', P .. 'repos', P .. 'delayed'
local HEADS, HELD, LEASES = P .. 'heads', P .. 'held', P .. 'leases'
local LIMITS, LIMITED, REPO = P .. 'limits', P .. 'limited', P .. 'repo:'
local CHANGES, WAKE, GENERATION = P .. 'changes', P .. 'wake', P .. 'generation'

local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local changed, sooner = false, false

-- The next moment at which time alone changes something.
local function deadline()
  local delay = call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')[2]
  local lease = call('ZRANGE', LEASES, 0, 0, 'WITHSCORES')[2]
  if delay and lease then
    return math.min(tonumber(delay), tonumber(lease))
  end
  return tonumber(delay or lease)
end

local deadline_before = deadline()

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

-- The token, the worker and the entry of a claim.
local function claim_parts(claim)
  local token, length, rest = string.match(claim, '^([^|]*)|(%d+)|(.*)$')
  length = tonumber(length)
  return token, string.sub(rest, 1, length), string.sub(rest, length + 2)
end

local function global_limit()
  return tonumber(call('HGET', LIMITS, 'global') or DEFAULT_GLOBAL)
end

-- Notes a moment at which time alone changes something.
local function at_latest(set, moment, task)
  call('ZADD', set, whole(moment), task)
  if not deadline_before or moment < deadline_before then
    sooner = true
  end
end

local function per_repo_limit()
  return tonumber(call('HGET', LIMITS, 'per_repo') or DEFAULT_PER_REPO)
end

-- Makes `heads` agree with what is due and at work in a repository.
local function refresh(repo)
  local counts = call('HMGET', REPO .. repo, 'head', 'work', 'limit')
  local before = counts[1]
  local first = {}
  if tonumber(counts[2] or 0) < (tonumber(counts[3]) or per_repo_limit()) then
    first = call('ZRANGE', DUE .. repo, 0, 0, 'WITHSCORES')
    if not first[1] then
      call('SREM', REPOS, repo)
    end
  end
  local head = first[1] or false
  if before == head then
    return
  end
  if before then
    call('ZREM', HEADS, before)
  end
  if head then
    call('ZADD', HEADS, first[2], head)
    call('HSET', REPO .. repo, 'head', head)
  else
    call('HDEL', REPO .. repo, 'head')
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
    at_latest(DELAYED, tonumber(due), task)
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

-- Takes a waiting entry out; its repository is to be refreshed.
local function pick(task)
  local entry = call('HGET', ENTRIES, task)
  if not entry then
    return false
  end
  local repo, _, due = parts(entry)
  call('HDEL', ENTRIES, task)
  if due ~= '0' then
    call('ZREM', DELAYED, task)
  end
  call('ZREM', DUE .. repo, task)
  return entry, repo
end

-- Takes a waiting entry out.
local function take(task)
  local entry, repo = pick(task)
  if entry then
    refresh(repo)
  end
  return entry
end

-- Takes a slot.
local function hold(task, entry, worker, token, lease)
  local repo = parts(entry)
  call('HSET', HELD, task, table.concat({ token, #worker, worker, entry }, '|'))
  at_latest(LEASES, now + lease, task)
  call('HINCRBY', REPO .. repo, 'work', 1)
  refresh(repo)
end

-- Gives a slot back. The claim is what stands in `held`, read before.
local function let_go(task, claim)
  call('ZREM', LEASES, task)
  if not claim then
    return false
  end
  changed = true
  call('HDEL', HELD, task)
  local _, _, entry = claim_parts(claim)
  local repo = parts(entry)
  if call('HINCRBY', REPO .. repo, 'work', -1) <= 0 then
    call('HDEL', REPO .. repo, 'work')
  end
  refresh(repo)
  return entry
end

-- The claim on a task, if this is its token; else nothing.
local function claim_of(task, token)
  local claim = call('HGET', HELD, task)
  return claim and claim_parts(claim) == token and claim
end

-- The task that is next, if the limits allow one.
local function best()
  if call('HLEN', HELD) >= global_limit() then
    return false
  end
  return call('ZRANGE', HEADS, 0, 0)[1] or false
end

-- Whether everything was lost since somebody was told this generation; '' if nobody was.
local function lost(generation)
  return generation ~= '' and call('GET', GENERATION) ~= generation
end

-- Claims the best entry that the limits allow, and gives its job; false if there is none.
local function claim_best(worker, token, lease)
  local task = best()
  while task do
    local entry = pick(task)
    if entry then
      hold(task, entry, worker, token, tonumber(lease))
      local _, _, _, job = parts(entry)
      return job
    end
    -- a server that evicts keys may have lost the entry of what stood first
    call('ZREM', HEADS, task)
    task = best()
  end
  return false
end

-- Tells who waits, if there is something in it for them: something to claim, or an earlier moment to look again. The
-- counter starts at the time of day, so it does not repeat itself when everything was lost.
local function finish(answer)
  if changed and call('INCR', CHANGES) == 1 then
    call('SET', CHANGES, whole(now * 1000))
  end
  if changed or sooner then
    call('PUBLISH', WAKE, '')
  end
  return answer
end

-- Ends the leases and delays that are over.
local function over(key)
  return call('ZRANGEBYSCORE', key, '-inf', whole(now), 'LIMIT', 0, 500)
end

local tasks = {}
if deadline_before and deadline_before <= now then
  tasks = over(DELAYED)
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
      local entry = let_go(task, call('HGET', HELD, task))
      if entry then
        wait_again(task, entry)
      end
    end
    tasks = over(LEASES)
  end
end
