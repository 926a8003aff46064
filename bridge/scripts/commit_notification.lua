-- Write down what became of one attempt; fenced by its token.
-- KEYS  outbox, dead
-- ARGV  notification id, token, state (delivered | due | dead), error ('': none), milliseconds until the next attempt
-- Answer 1, or 0 when the attempt is no longer ours
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id = ARGV[1]
local key = 'gb:n:' .. id
if redis.call('HGET', key, 'token') ~= ARGV[2] then
  return 0
end
redis.call('HDEL', key, 'token')
redis.call('HSET', key, 'state', ARGV[3], 'error', ARGV[4], 'next', now + ARGV[5])
if ARGV[3] == 'due' then
  redis.call('ZADD', KEYS[1], now + ARGV[5], id)
else
  redis.call('ZREM', KEYS[1], id)
end
if ARGV[3] == 'delivered' then
  redis.call('HDEL', key, 'body')
elseif ARGV[3] == 'dead' then
  redis.call('ZADD', KEYS[2], now, 'n ' .. id) -- with its body, so that a person can have it sent after all
end
return 1
