-- Take one of what a source may send, for all processes together: a token bucket told by when it will be full again.
-- KEYS  the source's bucket: milliseconds, a fraction among them
-- ARGV  how many, in how many milliseconds
-- Answer 0, or the milliseconds until there is one again; then nothing is taken
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local period = tonumber(ARGV[2])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + period / ARGV[1]
if full - now > period + 0.001 then
  return math.ceil(full - now - period)
end
redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil(full - now) + 1)
return 0
