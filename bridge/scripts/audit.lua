-- Write down an order that a person gave; the newest are kept, so that it costs the same however many there are.
-- KEYS  audit: order (JSON) -> milliseconds
-- ARGV  order, how many to keep, seconds to keep them after the last
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
