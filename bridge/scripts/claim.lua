-- Take what is due, in one batch. Moving the due time by the lease *is* the claim: a dead holder's comes due again.
-- KEYS  due, dead, the pause switches, the mark that some engine has said 'too many'
-- ARGV  most to take, token, milliseconds of lease for a trigger, for a poll, milliseconds until a paused one is looked
--       at again, seconds to keep its record, milliseconds between two probes of an engine that paused itself,
--       how many claims of a poll in a row may get lost,
--       milliseconds until one that waits for its turn is looked at again, should nobody wake it,
--       the engines' budgets (JSON), 1 if any of them has a limit,
--       milliseconds until what waits for a slot is looked at again
-- Answer {now, milliseconds until the next is due (-1: nothing waits), then per execution: kind, id, and the fields}
-- kind  start   now in `starting`: the write-ahead intent, before any byte goes out
--       probe   a start, too: the one that may go through to an engine that paused itself
--       orphan  was found in `starting`: its holder died, nobody knows whether it was sent
--       expired could not be sent before its deadline
--       poison  a poll, too, but so many claims of it in a row were never committed that it is perhaps what kills workers
--       skipped is not to start, as `at_a_time` has it (group.lua); its reason says why
--       poll
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer, turns = {now, -1}

local switches, anything_paused = {}, false
local fields = redis.pcall('HGETALL', KEYS[3])
for i = 1, fields.err and 0 or #fields, 2 do
  local readable, switch = pcall(cjson.decode, fields[i + 1])
  switches[fields[i]], anything_paused = readable and type(switch) == 'table' and switch or {}, true
end

local engines
if ARGV[11] == '1' or redis.call('EXISTS', KEYS[4]) == 1 then
  engines = cjson.decode(ARGV[10])
end

-- Say which switch holds a queued execution; or that it is the probe which need not wait.
local function paused(text)
  local readable, record = pcall(cjson.decode, text)
  if not readable or type(record) ~= 'table' or type(record.rule) ~= 'string' or type(record.engine) ~= 'string' then
    return nil -- shown as unreadable by whoever claims it
  end
  if switches['rule ' .. record.rule] then
    return 'held: the rule ' .. record.rule .. ' is paused'
  end
  local field = 'engine ' .. record.engine
  local switch = switches[field]
  if switch and type(switch.probe) == 'number' and switch.probe <= now then
    switch.probe = now + tonumber(ARGV[7])
    redis.call('HSET', KEYS[3], field, cjson.encode(switch))
    return nil, true
  end
  return switch and 'held: the engine ' .. record.engine .. ' is paused'
end

local function take(id)
  local key = 'gb:x:' .. id
  local was = redis.pcall('HMGET', key, 'status', 'deadline', 'final', 'record', 'held', 'token', 'group', 'skip',
    'waits', 'booked')
  if was.err or not was[1] or was[3] == '1' then
    -- Foreign, expired or already ended: it has no next step. What is not ours to read is shown to a person.
    redis.call('ZREM', KEYS[1], id)
    if was.err or not was[1] then
      redis.call('ZADD', KEYS[2], now, 'x ' .. id .. ' the record cannot be read')
    end
  else
    local kind, lease = 'poll', ARGV[4]
    local again, why, probe = ARGV[5]
    local queued = was[1] == 'queued' and not was[8]
    local group, other
    if was[7] then
      turns = turns or groups()
      group = turns.of(was[7])
      other = queued and group and turns.ahead(KEYS[1], group, id)
    end
    if other then
      again, why = ARGV[9], 'waits for ' .. other .. ' of the same key'
      turns.place(group, id, false, ARGV[6])
    elseif queued and anything_paused then
      why, probe = paused(was[4])
    end
    -- The time that it was held does not count.
    local deadline = tonumber(was[2]) + (was[5] and now - was[5] or 0)
    if was[1] == 'queued' and (why or was[8] or now > deadline) then
      -- Whatever keeps it from starting, it stands in no other's way meanwhile, and what it was told of is no more its.
      if was[9] or was[10] then
        redis.call('HDEL', key, 'waits', 'booked')
      end
    elseif engines and not probe and was[1] ~= 'starting' then
      -- A probe, one in minutes, need not wait: it tells whether anything goes through at all.
      local wait, what = room(id, was[4], was[1], now, engines, tonumber(ARGV[12]))
      if wait > 0 then
        why, again = what, wait
      end
    end
    if was[5] and not why then
      -- The time it was held, or waited for its turn or for room, does not count.
      was[2] = deadline
      redis.call('HSET', key, 'deadline', string.format('%.0f', was[2]))
      redis.call('HDEL', key, 'held')
    end
    if why then
      kind = 'held'
    elseif was[1] == 'starting' then
      kind = 'orphan'
    elseif was[1] == 'queued' and was[8] then
      kind = 'skipped'
      redis.call('HSET', key, 'reason', was[8])
    elseif was[1] == 'queued' and now > tonumber(was[2]) then
      kind = 'expired'
    elseif was[1] == 'queued' then
      kind, lease = probe and 'probe' or 'start', ARGV[3]
      redis.call('HSET', key, 'status', 'starting', 'trigger_token', ARGV[2],
        'history', redis.call('HGET', key, 'history') .. '\n' .. now .. ' starting')
      redis.call('HINCRBY', key, 'attempts', 1)
      if group then
        turns.place(group, id, true, ARGV[6])
      end
    end
    if kind == 'poll' and was[6] and redis.call('HINCRBY', key, 'uncommitted', 1) >= tonumber(ARGV[8]) then
      kind = 'poison'
    end
    if kind == 'held' then
      if was[1] == 'queued' then
        redis.call('HSETNX', key, 'held', now)
        redis.call('HSET', key, 'reason', why)
      end
      redis.call('EXPIRE', key, ARGV[6])
      redis.call('ZADD', KEYS[1], now + again, id)
    else
      redis.call('HSET', key, 'token', ARGV[2])
      redis.call('ZADD', KEYS[1], now + lease, id)
      answer[#answer + 1] = kind
      answer[#answer + 1] = id
      answer[#answer + 1] = redis.call('HGETALL', key)
    end
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local taken, why = pcall(take, id)
  if not taken then
    local refused = no_writes(why)
    if refused then
      return redis.error_reply(refused)
    end
    -- A field is damaged. Nothing was sent; it must not stand in the way of all others.
    redis.call('ZREM', KEYS[1], id)
    redis.call('ZADD', KEYS[2], now, 'x ' .. id .. ' the record cannot be read')
  end
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if first[2] then
  answer[2] = math.max(0, first[2] - now)
end
return answer
