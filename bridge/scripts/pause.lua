-- Turn a pause switch on or off.
-- KEYS  the switches: `engine <name>` or `rule <name>` -> {by, reason, at, probe}
-- ARGV  which, what (pause | block | resume | recover), by, reason, milliseconds until a probe (block)
--       block: the engine refuses everybody; it leaves a switch that is on as it is
--       recover: a probe went well; it leaves a person's switch on
-- Answer 1 when something changed
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local was = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[2] == 'pause' or (ARGV[2] == 'block' and not was) then
  local switch = {by = ARGV[3], reason = ARGV[4], at = now}
  if ARGV[2] == 'block' then
    switch.probe = now + tonumber(ARGV[5])
  end
  redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(switch))
  return 1
end
if ARGV[2] == 'resume' or (ARGV[2] == 'recover' and was and cjson.decode(was).probe) then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
