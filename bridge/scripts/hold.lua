-- An engine has said 'too many': nobody sends anything that its bucket counts for a while.
-- KEYS  the hold, the mark that there is one
-- ARGV  milliseconds it asked for (-1: it named none), how long a hold is remembered for the next one to be longer
-- Answer milliseconds from now
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local was = redis.pcall('GET', KEYS[1])
local held_until, strikes = string.match(type(was) == 'string' and was or '', '^(%d+) (%d+)$')
held_until, strikes = tonumber(held_until) or 0, tonumber(strikes) or 0

local asked = tonumber(ARGV[1])
if asked >= 0 then
  held_until = math.max(held_until, now + asked)
elseif held_until <= now then
  -- Of several answers to what was sent at one time only the first makes it longer: 1, 2, 4 ... 60 s.
  held_until = now + math.min(60000, 1000 * 2 ^ math.min(strikes, 6))
  strikes = strikes + 1
end
local wait = held_until - now
redis.call('SET', KEYS[1], string.format('%.0f %d', held_until, strikes), 'PX', wait + ARGV[2])
if wait > redis.call('PTTL', KEYS[2]) then
  redis.call('SET', KEYS[2], '1', 'PX', math.max(1, wait))
end
return wait
