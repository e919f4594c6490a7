-- What a script has read, and what it has to write. Each call costs the server more than what it does, so fields of hashes
-- are read once, and all that is written to a key goes in one call at the end. Stands in front of the state.

local call = redis.call

-- Arguments of one call: Lua cannot pass many more. Even, for some come in pairs.
local MOST = 1000

-- key -> field or member -> what stands there; false if nothing does
local fields, new_fields, new_scores = {}, {}, {}

local function within(all, key)
  local one = all[key]
  if not one then
    one = {}
    all[key] = one
  end
  return one
end

-- Reads those of some fields of a hash that are not known yet.
local function fetch(key, wanted)
  local known, unknown = within(fields, key), {}
  for _, field in ipairs(wanted) do
    if known[field] == nil then
      known[field] = false
      table.insert(unknown, field)
    end
  end
  if unknown[1] then
    for i, value in ipairs(call('HMGET', key, unpack(unknown))) do
      known[unknown[i]] = value
    end
  end
end

local function get_field(key, field)
  local known = within(fields, key)
  if known[field] == nil then
    known[field] = call('HGET', key, field)
  end
  return known[field]
end

local function set_field(key, field, value)
  within(fields, key)[field] = value
  within(new_fields, key)[field] = value
end

local function set_score(key, member, score)
  within(new_scores, key)[member] = score
end

local function write(command, key, arguments)
  for from = 1, #arguments, MOST do
    call(command, key, unpack(arguments, from, math.min(from + MOST - 1, #arguments)))
  end
end

-- Writes what is new in a hash or in a sorted set; whoever asks for a range of one does so first.
local function write_fields(key)
  local set, gone = {}, {}
  for field, value in pairs(new_fields[key] or {}) do
    if value then
      table.insert(set, field)
      table.insert(set, value)
    else
      table.insert(gone, field)
    end
  end
  new_fields[key] = nil
  write('HSET', key, set)
  write('HDEL', key, gone)
end

local function write_scores(key)
  local set, gone = {}, {}
  for member, score in pairs(new_scores[key] or {}) do
    if score then
      table.insert(set, score)
      table.insert(set, member)
    else
      table.insert(gone, member)
    end
  end
  new_scores[key] = nil
  write('ZADD', key, set)
  write('ZREM', key, gone)
end

local function write_all()
  for key in pairs(new_fields) do
    write_fields(key)
  end
  for key in pairs(new_scores) do
    write_scores(key)
  end
end
