-- Take one notification for one attempt.
-- KEYS  outbox, dead
-- ARGV  notification id, token, milliseconds of lease, milliseconds between two messages of one lane
-- Answer {} when it is over or held by another; {milliseconds} until it may be sent; else {now, attempt, record, body,
-- version of the body, what an earlier message of the execution to this notifier has made ('': nothing)}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id = ARGV[1]
local key = 'gb:n:' .. id

-- Of which notifier a notification is; nil where its record is damaged.
local function notifier_of(text)
  local readable, record = pcall(cjson.decode, text)
  return readable and type(record) == 'table' and record.notifier or nil
end

local function take()
  local was = redis.call('HMGET', key, 'state', 'next', 'record', 'body', 'version')
  if not was[1] then
    redis.call('ZREM', KEYS[1], id)
    return {}
  end
  if (was[1] ~= 'due' and was[1] ~= 'sending') then
    return {}
  end
  local record = cjson.decode(was[3])
  if tonumber(was[2]) > now then
    -- Of one that tells anew the ring may come before its time.
    return was[1] == 'due' and record.lane and {tonumber(was[2]) - now} or {}
  end
  if record.in_order then
    -- In a chat the newer message replaces the older: an older one still unsent is told no more, and a newer one
    -- waits while an older one is on the wire, so that it cannot be overtaken.
    local after = false
    local others = redis.call('HGET', 'gb:x:' .. record.execution, 'notifications') or ''
    for other in string.gmatch(others, '%S+') do
      if other == id then
        after = true
      else
        local seen = redis.pcall('HMGET', 'gb:n:' .. other, 'record', 'state', 'next')
        if seen[1] and notifier_of(seen[1]) == record.notifier then
          if after then
            redis.call('HSET', key, 'state', 'superseded')
            redis.call('ZREM', KEYS[1], id)
            return {}
          elseif seen[2] == 'sending' and tonumber(seen[3]) > now then
            redis.call('ZADD', KEYS[1], now + 250, id)
            return {250}
          end
        end
      end
    end
  end

  if record.lane then
    -- One place takes so many messages only; whoever comes too soon comes again, and may be overtaken or superseded.
    local lane = 'gb:lane:' .. record.lane
    local wait = redis.call('PTTL', lane)
    if wait > 0 then
      redis.call('ZADD', KEYS[1], now + wait, id)
      return {wait}
    end
    redis.call('SET', lane, '1', 'PX', ARGV[4])
  end

  redis.call('HSET', key, 'state', 'sending', 'token', ARGV[2], 'next', now + ARGV[3])
  redis.call('ZADD', KEYS[1], now + ARGV[3], id)
  local made = type(record.execution) == 'string' and redis.call('HGET', 'gb:x:' .. record.execution, 'made ' .. record.notifier)
  return {now, redis.call('HINCRBY', key, 'attempts', 1), was[3], was[4], was[5] or '0', made or ''}
end

local taken, answer = pcall(take)
if taken then
  return answer
end
local refused = no_writes(answer)
if refused then
  return redis.error_reply(refused)
end
-- Damaged, or not ours: it must not be rung for again and again.
redis.call('ZREM', KEYS[1], id)
redis.call('ZADD', KEYS[2], now, 'n ' .. id .. ' the record cannot be read')
return {}
