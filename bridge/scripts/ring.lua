-- Name the notifications that should have been attempted by now, and put their next ring off.
-- KEYS  outbox
-- ARGV  most to name, milliseconds until they are rung again
-- Answer the ids
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(ids) do
  redis.call('ZADD', KEYS[1], now + ARGV[2], id)
end
return ids
