-- Write down what became of one attempt; fenced by its token.
-- KEYS  outbox, dead
-- ARGV  notification id, token, state (delivered | due | dead), error ('': none), milliseconds until the next attempt,
--       version of the body that was sent, what it has made, for those that follow ('': nothing new),
--       milliseconds for which its lane takes nothing, as was answered (0: that was not said)
-- Answer 1, or 0 when the attempt is no longer ours; 2 when there is something new to tell already
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id = ARGV[1]
local key = 'gb:n:' .. id
if redis.call('HGET', key, 'token') ~= ARGV[2] then
  return 0
end
local state, next, record = ARGV[3], now + ARGV[5], cjson.decode(redis.call('HGET', key, 'record'))
local newer = (redis.call('HGET', key, 'version') or '0') ~= ARGV[6]
if ARGV[7] ~= '' and redis.call('EXISTS', 'gb:x:' .. record.execution) == 1 then
  redis.call('HSET', 'gb:x:' .. record.execution, 'made ' .. record.notifier, ARGV[7])
end
if newer and state == 'delivered' then
  state = 'due' -- while it was on the wire its body became another
  redis.call('HSET', key, 'attempts', 0)
end
if record.lane and tonumber(ARGV[8]) > 0 then
  redis.call('SET', 'gb:lane:' .. record.lane, '1', 'PX', ARGV[8])
end
redis.call('HDEL', key, 'token')
redis.call('HSET', key, 'state', state, 'error', ARGV[4], 'next', next)
if state == 'due' then
  redis.call('ZADD', KEYS[1], next, id)
else
  redis.call('ZREM', KEYS[1], id)
end
if state == 'delivered' then
  redis.call('HDEL', key, 'body')
elseif state == 'dead' then
  redis.call('ZADD', KEYS[2], now, 'n ' .. id) -- with its body, so that a person can have it sent after all
end
return state == ARGV[3] and 1 or 2
