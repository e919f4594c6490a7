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

local global, per_repo

-- The limits of all and of each repository without one of its own.
local function limits()
  if not global then
    local set = call('HMGET', LIMITS, 'global', 'per_repo')
    global, per_repo = tonumber(set[1] or DEFAULT_GLOBAL), tonumber(set[2] or DEFAULT_PER_REPO)
  end
  return global, per_repo
end

-- Notes a moment at which time alone changes something.
local function at_latest(set, moment, task)
  call('ZADD', set, whole(moment), task)
  if not deadline_before or moment < deadline_before then
    sooner = true
  end
end

-- Makes `heads` agree with what is due and at work in a repository, where `more` claims than before are held now.
local function refresh(repo, more)
  local key = REPO .. repo
  local counts = call('HMGET', key, 'head', 'work', 'limit')
  local before, work, most = counts[1], tonumber(counts[2] or 0), tonumber(counts[3])
  if not most then
    local _, each = limits()
    most = each
  end
  local had_room = work < most
  if more then
    work = work + more
    if work > 0 then
      call('HSET', key, 'work', work)
    else
      call('HDEL', key, 'work')
    end
    if more < 0 and had_room then
      return -- what stood first there still does
    end
  end
  local first = {}
  if work < most then
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
    call('HSET', key, 'head', head)
  else
    call('HDEL', key, 'head')
  end
end

-- Puts an entry that is in no place where it belongs. Returns its repository, which is to be refreshed, if it is due.
local function put(task, entry)
  changed = true
  if call('HEXISTS', HELD, task) == 1 then
    return nil -- it stands behind the claim
  end
  local repo, score, due = parts(entry)
  if tonumber(due) > now then
    at_latest(DELAYED, tonumber(due), task)
    return nil
  end
  call('ZADD', DUE .. repo, score, task)
  return repo
end

-- A repository has something due.
local function offer(repo)
  call('SADD', REPOS, repo)
  refresh(repo)
end

-- Finds the place of an entry that is in none.
local function settle(task)
  changed = true
  local entry = call('HGET', ENTRIES, task)
  local repo = entry and put(task, entry)
  if repo then
    offer(repo)
  end
end

-- Puts an entry back, unless a newer one was pushed meanwhile.
local function wait_again(task, entry)
  call('HSETNX', ENTRIES, task, entry)
  settle(task)
end

-- Takes a waiting entry out; its repository is to be refreshed. Returns both, and the job.
local function pick(task)
  local entry = call('HGET', ENTRIES, task)
  if not entry then
    return false
  end
  local repo, _, due, job = parts(entry)
  call('HDEL', ENTRIES, task)
  if due ~= '0' then
    call('ZREM', DELAYED, task)
  end
  call('ZREM', DUE .. repo, task)
  return entry, repo, job
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
local function hold(task, repo, entry, worker, token, lease)
  call('HSET', HELD, task, table.concat({ token, #worker, worker, entry }, '|'))
  at_latest(LEASES, now + lease, task)
  refresh(repo, 1)
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
  refresh(repo, -1)
  return entry
end

-- The claim on a task, if this is its token; else nothing.
local function claim_of(task, token)
  local claim = call('HGET', HELD, task)
  return claim and claim_parts(claim) == token and claim
end

-- The task that is next, if the limits allow one.
local function best()
  local most = limits()
  if call('HLEN', HELD) >= most then
    return false
  end
  return call('ZRANGE', HEADS, 0, 0)[1] or false
end

-- Whether everything was lost since somebody was told this generation; '' if nobody was.
local function lost(generation)
  return generation ~= '' and call('GET', GENERATION) ~= generation
end

-- Takes out what stands first and has no entry: a server that evicts keys may have lost that. Nothing says whose it was.
local function forget(task)
  call('ZREM', HEADS, task)
  for _, repo in ipairs(call('SMEMBERS', REPOS)) do
    if call('HGET', REPO .. repo, 'head') == task then
      call('ZREM', DUE .. repo, task)
      refresh(repo)
    end
  end
end

-- Claims the best entry that the limits allow, and gives its job; false if there is none.
local function claim_best(worker, token, lease)
  local task = best()
  while task do
    local entry, repo, job = pick(task)
    if entry then
      hold(task, repo, entry, worker, token, tonumber(lease))
      return job
    end
    forget(task)
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
