-- An engine has said 'too many': nobody sends anything that its bucket counts for a while.
-- KEYS  the hold, the mark that there is one
-- ARGV  milliseconds from now
-- Answer milliseconds from now, longer where somebody was told a longer time
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local was = redis.pcall('GET', KEYS[1])
local held_until = math.max(type(was) == 'string' and tonumber(was) or 0, now + ARGV[1])
local wait = held_until - now
if wait > 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', held_until), 'PX', wait)
  if wait > redis.call('PTTL', KEYS[2]) then
    redis.call('SET', KEYS[2], '1', 'PX', wait)
  end
end
return wait
