-- Settle an unknown execution by a person's word. Who comes first wins: a late answer of the engine makes it pending,
-- and then there is nothing to settle; a late answer to what was settled is judged in commit.lua.
-- KEYS  due, dead, bell
-- ARGV  execution id, outcome (ran | did_not_run | close), note for the history, the engine's id of the run (ran),
--       seconds to keep the record
-- Answer {} when there is no such execution, else {the status it had}; only `unknown` is settled
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id = ARGV[1]
local key = 'gb:x:' .. id

local was = redis.call('HMGET', key, 'status', 'record', 'history', 'group')
if not was[1] then
  return {}
end
if was[1] ~= 'unknown' then
  return {was[1]}
end

local status = 'unknown'
if ARGV[2] ~= 'close' then
  local deadline = now + cjson.decode(was[2]).deadline_seconds * 1000
  status = 'queued'
  if ARGV[2] == 'ran' then
    status = 'pending'
    redis.call('HSET', key, 'remote', ARGV[4], 'started', now)
  end
  redis.call('HSET', key, 'status', status, 'deadline', string.format('%.0f', deadline), 'reason', '')
  redis.call('HDEL', key, 'final', 'finished', 'token')
  redis.call('ZADD', KEYS[1], now, id)
  ring(KEYS[3])
  local turns = was[4] and groups()
  local group = turns and turns.of(was[4])
  if group then
    turns.place(group, id, group.keep == 'all' or status == 'pending', ARGV[5])
  end
end
redis.call('HSET', key, 'history', was[3] .. '\n' .. now .. ' ' .. status .. ' ' .. ARGV[3])
redis.call('ZREM', KEYS[2], 'x ' .. id)
redis.call('EXPIRE', key, ARGV[5])
return {was[1]}
