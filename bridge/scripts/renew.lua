-- Keep a claim whose step takes long, as long as it is still ours.
-- KEYS  due
-- ARGV  execution id, token, milliseconds of lease
-- Answer 1, or 0 when it is not ours any more
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('HGET', 'gb:x:' .. ARGV[1], 'token') ~= ARGV[2] then
  return 0
end
redis.call('ZADD', KEYS[1], 'XX', now + ARGV[3], ARGV[1])
return 1
