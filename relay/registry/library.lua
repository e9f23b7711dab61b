#!lua name=icelane_registry2
-- What the registry needs to be atomic. A cluster's keys share a hash tag, so that Redis Cluster
-- has them in one place. Values are written with Redis's own time in front: its clock alone decides
-- who has been silent for how long. Whoever changes what a function does gives it and the library
-- other names: while a release is rolled out, members of two share a server.

local SWEEP_MS = 60000

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- How long ago a value was written. One of a time to come was written before Redis's clock was put
-- back, or another server took over, or by nobody who knows the time: whoever lives writes it anew.
local function age_of(ms, now)
  return math.abs(now - ms)
end

-- A claim is written as "MS GENERATION OWNER".
local function claim_of(key, slot)
  local value = redis.call('HGET', key, 'slot:' .. slot)
  if not value then return nil end
  local ms, generation, owner = string.match(value, '^(%d+) (%d+) (.+)$')
  if not ms then return nil end
  return {ms = tonumber(ms), generation = tonumber(generation), owner = owner}
end

local function hold(key, slot, generation, owner)
  redis.call('HSET', key, 'slot:' .. slot, now_ms() .. ' ' .. generation .. ' ' .. owner,
             'owner:' .. owner, slot)
end

-- KEYS: claims. ARGV: owner, slot, "exact" or "any", first generation, ms until an owner is silent,
-- ms until a silent owner's slot is anybody's. Gives {slot, generation}, or {slot, -1, its owner}.
local function claim(keys, args)
  local key, owner, slot, exact = keys[1], args[1], tonumber(args[2]), args[3] == 'exact'
  local first, silent_ms, free_ms = tonumber(args[4]), tonumber(args[5]), tonumber(args[6])
  local now = now_ms()
  if not exact then
    local mine = tonumber(redis.call('HGET', key, 'owner:' .. owner) or '')
    local held = mine and claim_of(key, mine)
    if held and held.owner == owner then slot = mine end
  end
  for _ = 1, 4096 do
    local held = claim_of(key, slot)
    local patience = exact and silent_ms or free_ms
    if not held or held.owner == owner or age_of(held.ms, now) >= patience then
      local generation = held and (held.generation + 1) % 256 or first
      hold(key, slot, generation, owner)
      return {slot, generation}
    end
    if exact then return {slot, -1, held.owner} end
    slot = slot % 16777215 + 1
  end
  return redis.error_reply('ERR 4096 slots from the wanted one on are taken')
end

-- Remove what nobody has written for so long; a field whose value has no time in front stays.
local function sweep(key, longest_ms)
  local now = now_ms()
  local last = tonumber(redis.call('HGET', key, 'swept') or '') or 0
  if age_of(last, now) < SWEEP_MS then return end
  redis.call('HSET', key, 'swept', now)
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local ms = tonumber(string.match(all[i + 1], '^(%d+) ') or '')
    if ms and age_of(ms, now) >= longest_ms then
      redis.call('HDEL', key, all[i])
      local owner = string.match(all[i + 1], '^%d+ %d+ (.+)$')
      if owner and string.sub(all[i], 1, 5) == 'slot:' then redis.call('HDEL', key, 'owner:' .. owner) end
    end
  end
end

-- KEYS: entries, and for a transceiver claims. ARGV: field, line, channel, ms until an entry goes;
-- for a transceiver also slot, generation, owner, ms until its slot is anybody's. Gives 1, or 0
-- where the slot has another owner.
local function announce(keys, args)
  if keys[2] then
    local held = claim_of(keys[2], args[5])
    if held and (held.owner ~= args[7] or held.generation ~= tonumber(args[6])) then return 0 end
    hold(keys[2], args[5], args[6], args[7])
    sweep(keys[2], tonumber(args[8]))
  end
  redis.call('HSET', keys[1], args[1], now_ms() .. ' ' .. args[2])
  redis.call('PUBLISH', args[3], args[2])
  sweep(keys[1], tonumber(args[4]))
  return 1
end

-- KEYS: entries. ARGV: field, line, channel. The claim stays: its owner may come back.
local function withdraw(keys, args)
  redis.call('HDEL', keys[1], args[1])
  redis.call('PUBLISH', args[3], args[2])
  return 1
end

-- KEYS: entries. Gives Redis's time in ms, then each field and its value.
local function read(keys)
  local found = redis.call('HGETALL', keys[1])
  table.insert(found, 1, tostring(now_ms()))
  return found
end

-- Also on a server that is full (maxmemory, noeviction): a fleet has some hundreds of entries, and
-- whoever cannot announce himself counts as silent.
local function register(name, callback, flag)
  redis.register_function{function_name = name, callback = callback, flags = {flag}}
end

register('icelane_registry2_claim', claim, 'allow-oom')
register('icelane_registry2_announce', announce, 'allow-oom')
register('icelane_registry2_withdraw', withdraw, 'allow-oom')
register('icelane_registry2_read', read, 'no-writes')
