-- Take what is due, in one batch. Moving the due time by the lease *is* the claim: a dead holder's comes due again.
-- KEYS  due, dead
-- ARGV  most to take, token, milliseconds of lease for a trigger, for a poll
-- Answer {now, milliseconds until the next is due (-1: nothing waits), then per execution: kind, id, and the fields}
-- kind  start   now in `starting`: the write-ahead intent, before any byte goes out
--       orphan  was found in `starting`: its holder died, nobody knows whether it was sent
--       expired could not be sent before its deadline
--       poll
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = {now, -1}

for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local key = 'gb:x:' .. id
  local was = redis.pcall('HMGET', key, 'status', 'deadline', 'final')
  if was.err or not was[1] or was[3] == '1' then
    -- Foreign, expired or already ended: it has no next step. What is not ours to read is shown to a person.
    redis.call('ZREM', KEYS[1], id)
    if was.err or not was[1] then
      redis.call('ZADD', KEYS[2], now, 'x ' .. id .. ' the record cannot be read')
    end
  else
    local kind, lease = 'poll', ARGV[4]
    if was[1] == 'starting' then
      kind = 'orphan'
    elseif was[1] == 'queued' and now > tonumber(was[2]) then
      kind = 'expired'
    elseif was[1] == 'queued' then
      kind, lease = 'start', ARGV[3]
      redis.call('HSET', key, 'status', 'starting', 'trigger_token', ARGV[2],
        'history', redis.call('HGET', key, 'history') .. '\n' .. now .. ' starting')
      redis.call('HINCRBY', key, 'attempts', 1)
    end
    redis.call('HSET', key, 'token', ARGV[2])
    redis.call('ZADD', KEYS[1], now + lease, id)
    answer[#answer + 1] = kind
    answer[#answer + 1] = id
    answer[#answer + 1] = redis.call('HGETALL', key)
  end
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if first[2] then
  answer[2] = math.max(0, first[2] - now)
end
return answer
