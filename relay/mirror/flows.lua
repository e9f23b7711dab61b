#!lua name=icelane_flows
-- A flow in the mirror has one owner, the relay that its client reaches, and an epoch, which each
-- take-over raises. Whoever writes says both, and is refused where somebody has come before: so two
-- relays that both believe to have a flow do not write over each other. Redis cannot verify a
-- record; it compares what stands in it, and relays verify what they read.

-- What is held under a key; nothing where that is no record.
local function held(key)
  local value = redis.call('GET', key)
  if not value then
    return nil
  end
  local readable, record = pcall(cjson.decode, value)
  if not readable or type(record) ~= 'table' then
    return nil
  end
  if type(record.owner) ~= 'string' or type(record.epoch) ~= 'number' then
    return nil
  end
  return record
end

-- claim KEY owner epoch milliseconds record channel: write a record, and tell the other relays.
-- 1 if it is written, otherwise the epoch, as a text, of whoever holds the flow.
local function claim(keys, args)
  local record, epoch = held(keys[1]), tonumber(args[2])
  if record and (record.epoch > epoch or (record.epoch == epoch and record.owner ~= args[1])) then
    return string.format('%.0f', record.epoch)
  end
  redis.call('SET', keys[1], args[4], 'PX', args[3])
  redis.call('PUBLISH', args[5], keys[1] .. ' ' .. args[4])
  return 1
end

-- refresh KEY owner milliseconds: let a record live on. 1 if it does, 0 if there is none, otherwise
-- the epoch, as a text, of the other relay that holds the flow.
local function refresh(keys, args)
  local record = held(keys[1])
  if not record then
    return 0
  end
  if record.owner ~= args[1] then
    return string.format('%.0f', record.epoch)
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

redis.register_function('icelane_flow_claim', claim)
allowed_when_full('icelane_flow_refresh', refresh)
allowed_when_full('icelane_flow_release', release)
