#!lua name=icelane_flows2
-- A flow in the mirror has one owner, the relay that its client reaches, and an epoch, which each
-- take-over raises. Whoever writes says both, and is refused where somebody has come before: so two
-- relays that both believe to have a flow do not write over each other. Redis cannot verify a
-- record; it compares what stands in it. A relay that is refused is given what stands there, and
-- verifies it before it believes a word.
--
-- While a release is rolled out, relays of two share a server. Whoever changes what a function takes
-- or answers gives it and the library other names, so that each release has its own.

-- Bytes of a value: what is longer is no record; LONGEST in record.py.
local LONGEST = 4096

-- What is held under a key, and as which text; nothing where that is no record.
local function held(key)
  local value = redis.call('GET', key)
  if not value or #value > LONGEST then
    return nil
  end
  local readable, record = pcall(cjson.decode, value)
  if not readable or type(record) ~= 'table' then
    return nil
  end
  if type(record.owner) ~= 'string' or type(record.epoch) ~= 'number' then
    return nil
  end
  return record, value
end

-- claim KEY owner epoch milliseconds record channel junk: write a record, and tell the other relays.
-- What stands there does not count if it is the junk, a text that a relay could not verify.
-- 1 if it is written, otherwise the record of whoever holds the flow.
local function claim(keys, args)
  local record, value = held(keys[1])
  local epoch = tonumber(args[2])
  if record and value ~= args[6] and (
    record.epoch > epoch or (record.epoch == epoch and record.owner ~= args[1])
  ) then
    return value
  end
  redis.call('SET', keys[1], args[4], 'PX', args[3])
  redis.call('PUBLISH', args[5], keys[1] .. ' ' .. args[4])
  return 1
end

-- refresh KEY owner milliseconds: let a record live on. 1 if it does, 0 if there is none, otherwise
-- the record of the other relay that holds the flow.
local function refresh(keys, args)
  local record, value = held(keys[1])
  if not record then
    return 0
  end
  if record.owner ~= args[1] then
    return value
  end
  redis.call('PEXPIRE', keys[1], args[2])
  return 1
end

-- release KEY owner epoch channel: delete a record, and tell the others. 1 if there was one of this
-- relay's, of this epoch or of one before.
local function release(keys, args)
  local record = held(keys[1])
  if not record or record.owner ~= args[1] or record.epoch > tonumber(args[2]) then
    return 0
  end
  redis.call('DEL', keys[1])
  redis.call('PUBLISH', args[3], keys[1])
  return 1
end

-- A server that is full (maxmemory, noeviction) refuses new records; what is there lives on and ends.
local function allowed_when_full(name, callback)
  redis.register_function{function_name = name, callback = callback, flags = {'allow-oom'}}
end

redis.register_function('icelane_flow2_claim', claim)
allowed_when_full('icelane_flow2_refresh', refresh)
allowed_when_full('icelane_flow2_release', release)
