-- Take one notification for one attempt.
-- KEYS  outbox, dead
-- ARGV  notification id, token, milliseconds of lease
-- Answer {} when it is not due, delivered, or held by another; else {now, attempt, record, body}
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
  local was = redis.call('HMGET', key, 'state', 'next', 'record', 'body')
  if not was[1] then
    redis.call('ZREM', KEYS[1], id)
    return {}
  end
  if (was[1] ~= 'due' and was[1] ~= 'sending') or tonumber(was[2]) > now then
    return {}
  end

  local record = cjson.decode(was[3])
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
            return {}
          end
        end
      end
    end
  end

  redis.call('HSET', key, 'state', 'sending', 'token', ARGV[2], 'next', now + ARGV[3])
  redis.call('ZADD', KEYS[1], now + ARGV[3], id)
  return {now, redis.call('HINCRBY', key, 'attempts', 1), was[3], was[4]}
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
