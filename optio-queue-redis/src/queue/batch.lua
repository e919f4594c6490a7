-- Carries out steps in turn. Each is as atomic as a script of its own, and what goes wrong in one is its own affair.
-- ARGV: the name of each step and its values, in turn. Returns a word and a text for each step.
--
-- push      task, repo, score, delay in ms, job                        puts an entry in, in place of an older one
-- claim     worker, token, lease in ms, generation                     takes the best entry that the limits allow
-- complete  task, token                                                gives a slot back; the entry is gone
-- next      task, token, worker, the new token, lease in ms, generation gives a slot back and takes the next entry
-- renew     task, token, lease in ms                                   makes a claim last from now on
-- release   task, token, and the entry: repo, score, delay in ms, job    gives a slot back and lets the entry wait again
--
-- The word is 'done'; 'job', and the text is the job; 'none' if there is none to claim; 'void' if the claim is lost; 'lost'
-- if everything was, since the caller was told the generation; 'failed', and the text says why.

local function claim_next(worker, token, lease)
  local job = claim_best(worker, token, lease)
  if job then
    return 'job', job
  end
  return 'none'
end

local function complete(task, token)
  local claim = claim_of(task, token)
  if not claim then
    return 'void'
  end
  let_go(task, claim)
  settle(task)
  return 'done'
end

local STEPS = {
  push = {
    values = 5,
    carry_out = function(task, repo, score, delay, job)
      local entry = make(repo, score, delay, job)
      if call('HSETNX', ENTRIES, task, entry) == 0 then
        take(task)
        call('HSET', ENTRIES, task, entry)
      end
      put(task, entry)
      return 'done'
    end,
  },
  claim = {
    values = 4,
    carry_out = function(worker, token, lease, generation)
      if lost(generation) then
        return 'lost'
      end
      return claim_next(worker, token, lease)
    end,
  },
  complete = { values = 2, carry_out = complete },
  next = {
    values = 6,
    carry_out = function(task, token, worker, fresh, lease, generation)
      if lost(generation) then
        return 'lost'
      end
      local before = changed
      if complete(task, token) == 'void' then
        return 'void'
      end
      local word, job = claim_next(worker, fresh, lease)
      -- A slot is freed and one is taken, unless there is nothing to claim: there is no more to claim than before, and
      -- of that whoever waits was told.
      changed = before
      return word, job
    end,
  },
  renew = {
    values = 3,
    carry_out = function(task, token, lease)
      if not claim_of(task, token) then
        return 'void'
      end
      at_latest(LEASES, now + tonumber(lease), task)
      return 'done'
    end,
  },
  release = {
    values = 6,
    carry_out = function(task, token, repo, score, delay, job)
      local claim = claim_of(task, token)
      if not claim then
        return 'void'
      end
      let_go(task, claim)
      wait_again(task, make(repo, score, delay, job))
      return 'done'
    end,
  },
}

local answers, at = {}, 1
while ARGV[at] do
  local step = STEPS[ARGV[at]]
  local fine, word, text = pcall(step.carry_out, unpack(ARGV, at + 1, at + step.values))
  if not fine then
    word, text = 'failed', type(word) == 'table' and word.err or tostring(word)
    if string.find(text, 'READONLY', 1, true) then
      return redis.error_reply(text) -- a replica does nothing for anybody: another server is to be asked
    end
  end
  table.insert(answers, word)
  table.insert(answers, text or '')
  at = at + 1 + step.values
end
return finish(answers)
