-- Have a notification sent now by a person's word, under its id, with all its attempts before it.
-- KEYS  outbox, dead
-- ARGV  notification id, note for its execution's history, seconds to keep the record
-- Answer {} when there is no such notification, else {the state it had}; only `dead` and `due` can be sent
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id = ARGV[1]
local key = 'gb:n:' .. id

local was = redis.call('HMGET', key, 'state', 'record')
if not was[1] then
  return {}
end
if was[1] == 'dead' or was[1] == 'due' then
  redis.call('HSET', key, 'state', 'due', 'attempts', 0, 'next', now)
  redis.call('EXPIRE', key, ARGV[3])
  redis.call('ZADD', KEYS[1], now, id)
  redis.call('ZREM', KEYS[2], 'n ' .. id)
  local execution = 'gb:x:' .. cjson.decode(was[2]).execution
  local told = redis.call('HMGET', execution, 'status', 'history')
  if told[1] then
    redis.call('HSET', execution, 'history', told[2] .. '\n' .. now .. ' ' .. told[1] .. ' ' .. ARGV[2])
    redis.call('EXPIRE', execution, ARGV[3])
  end
end
return {was[1]}
