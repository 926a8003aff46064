-- Read one page of an index, newest first.
-- KEYS  the index: member -> milliseconds
-- ARGV  most wanted, milliseconds to begin at ('+inf': the newest)
-- Answer member, milliseconds ...; with more than wanted where several share the moment to begin at, for only the
--        caller knows which of those it has seen
local wanted = tonumber(ARGV[1])
if ARGV[2] ~= '+inf' then
  wanted = wanted + redis.call('ZCOUNT', KEYS[1], ARGV[2], ARGV[2])
end
return redis.call('ZREVRANGEBYSCORE', KEYS[1], ARGV[2], '-inf', 'WITHSCORES', 'LIMIT', 0, wanted)
