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

-- The repository of an entry: each piece of text that is cut out costs more than a call does.
local function repo_of(entry)
  return string.match(entry, '^[^|]*')
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

local seen, stale, claims = {}, {}, nil

-- What is known of a repository: read once, changed here, written back at the end of the script.
local function of(repo)
  local known = seen[repo]
  if not known then
    local read = call('HMGET', REPO .. repo, 'head', 'work', 'limit')
    known = { head = read[1], work = tonumber(read[2] or 0), limit = tonumber(read[3]) }
    seen[repo] = known
  end
  return known
end

-- Whether a repository has a free slot.
local function has_room(known)
  local _, each = limits()
  return known.work < (known.limit or each)
end

-- What stands first in a repository may be another one by now.
local function touch(repo)
  stale[repo] = true
end

-- Makes `heads` agree with what is due and at work in all repositories where something has changed.
local function refresh()
  for repo in pairs(stale) do
    local known, first = of(repo), {}
    if has_room(known) then
      first = call('ZRANGE', DUE .. repo, 0, 0, 'WITHSCORES')
      if not first[1] then
        call('SREM', REPOS, repo)
        known.offered = false
      end
    end
    local head = first[1] or false
    if known.head ~= head then
      if known.head then
        call('ZREM', HEADS, known.head)
      end
      if head then
        call('ZADD', HEADS, first[2], head)
      end
      known.head, known.changed = head, true
    end
  end
  stale = {}
end

-- Writes back what is known of the repositories.
local function write_back()
  refresh()
  for repo, known in pairs(seen) do
    if known.changed then
      local set, gone = {}, {}
      for _, field in ipairs({ 'head', 'work' }) do
        local value = known[field]
        if value and value ~= 0 then
          table.insert(set, field)
          table.insert(set, value)
        else
          table.insert(gone, field)
        end
      end
      if set[1] then
        call('HSET', REPO .. repo, unpack(set))
      end
      if gone[1] then
        call('HDEL', REPO .. repo, unpack(gone))
      end
      known.changed = false
    end
  end
end

-- How many more claims than before a repository has.
local function work(repo, more)
  local known = of(repo)
  local had_room = has_room(known)
  known.work, known.changed = math.max(known.work + more, 0), true
  if had_room ~= has_room(known) then
    touch(repo)
  end
end

-- How many claims there are.
local function claimed()
  claims = claims or call('HLEN', HELD)
  return claims
end

-- Puts an entry that is in no place where it belongs.
local function put(task, entry)
  changed = true
  if call('HEXISTS', HELD, task) == 1 then
    return -- it stands behind the claim
  end
  local repo, score, due = string.match(entry, '^([^|]*)|([^|]*)|([^|]*)')
  if due ~= '0' and tonumber(due) > now then
    at_latest(DELAYED, tonumber(due), task)
    return
  end
  call('ZADD', DUE .. repo, score, task)
  local known = of(repo)
  if not known.offered then
    call('SADD', REPOS, repo)
    known.offered = true
  end
  touch(repo)
end

-- Finds the place of an entry that is in none.
local function settle(task)
  changed = true
  local entry = call('HGET', ENTRIES, task)
  if entry then
    put(task, entry)
  end
end

-- Puts an entry back, unless a newer one was pushed meanwhile.
local function wait_again(task, entry)
  call('HSETNX', ENTRIES, task, entry)
  settle(task)
end

-- Takes a waiting entry out. Returns it, its repository and its job.
local function take(task)
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
  local known = of(repo)
  if known.head == task then
    call('ZREM', HEADS, task)
    known.head, known.changed = false, true
    touch(repo)
  end
  return entry, repo, job
end

-- Takes a slot.
local function hold(task, repo, entry, worker, token, lease)
  local new = call('HSET', HELD, task, table.concat({ token, #worker, worker, entry }, '|'))
  claims = claims and claims + new
  at_latest(LEASES, now + lease, task)
  work(repo, 1)
end

-- Gives a slot back. The claim is what stands in `held`, read before.
local function let_go(task, claim)
  call('ZREM', LEASES, task)
  if not claim then
    return false
  end
  changed = true
  local gone = call('HDEL', HELD, task)
  claims = claims and claims - gone
  local _, _, entry = claim_parts(claim)
  work(repo_of(entry), -1)
  return entry
end

-- The claim on a task, if this is its token; else nothing.
local function claim_of(task, token)
  local claim = call('HGET', HELD, task)
  return claim and string.sub(claim, 1, #token + 1) == token .. '|' and claim
end

-- The task that is next, if the limits allow one.
local function best()
  local most = limits()
  if claimed() >= most then
    return false
  end
  refresh()
  return call('ZRANGE', HEADS, 0, 0)[1] or false
end

local current

-- Whether everything was lost since somebody was told this generation; '' if nobody was.
local function lost(generation)
  if generation == '' then
    return false
  end
  current = current or call('GET', GENERATION) or ''
  return current ~= generation
end

-- Takes out what stands first and has no entry: a server that evicts keys may have lost that. Nothing says whose it was.
local function forget(task)
  call('ZREM', HEADS, task)
  for _, repo in ipairs(call('SMEMBERS', REPOS)) do
    local known = of(repo)
    if known.head == task then
      call('ZREM', DUE .. repo, task)
      known.head, known.changed = false, true
      touch(repo)
    end
  end
end

-- Claims the best entry that the limits allow, and gives its job; false if there is none.
local function claim_best(worker, token, lease)
  local task = best()
  while task do
    local entry, repo, job = take(task)
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
  write_back()
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
  write_back() -- who only looks reads what is stored
end
