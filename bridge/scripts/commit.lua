-- Write down what a step found out; fenced by the claim's token, so that only the holder of the claim can.
-- KEYS  due, outbox, dead, bell
-- ARGV  execution id, token, milliseconds until the next step (-1: none, it ended), status ('': unchanged),
--       note for the history ('': none), seconds to keep the record, seconds until an unrung notification is rung,
--       number of fields, then name, value ...,
--       then per notification: id, record (JSON), body, 1 where it tells anew what it told before (outbox.lua)
-- Answer 1, or 0 when the claim is no longer ours (or this very commit has landed already)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id, token = ARGV[1], ARGV[2]
local key = 'gb:x:' .. id

local held = redis.call('HMGET', key, 'token', 'trigger_token', 'status', 'group')
if held[1] ~= token then
  -- The answer to a trigger may come after its lease ran out; it resolves what was called unknown meanwhile.
  -- It also comes before a person's word that nothing ran, as long as nothing was sent again.
  local late = held[2] == token
    and (held[3] == 'starting' or held[3] == 'unknown' or (held[3] == 'queued' and ARGV[4] == 'pending'))
  if not late then
    return 0
  end
  redis.call('ZREM', KEYS[3], 'x ' .. id)
end

local last = 8 + 2 * tonumber(ARGV[8])
for i = 9, last, 2 do
  redis.call('HSET', key, ARGV[i], ARGV[i + 1])
end
if ARGV[4] ~= '' and ARGV[4] ~= held[3] then
  local line = now .. ' ' .. ARGV[4]
  if ARGV[5] ~= '' then
    line = line .. ' ' .. ARGV[5]
  end
  redis.call('HSET', key, 'status', ARGV[4], 'history', redis.call('HGET', key, 'history') .. '\n' .. line)
end
if ARGV[3] == '-1' then
  redis.call('HSET', key, 'final', '1', 'finished', now)
  redis.call('ZREM', KEYS[1], id)
  if ARGV[4] == 'unknown' then
    redis.call('ZADD', KEYS[3], now, 'x ' .. id)
  end
else
  redis.call('HDEL', key, 'final', 'finished')
  redis.call('ZADD', KEYS[1], now + ARGV[3], id)
end
redis.call('HDEL', key, 'token', 'uncommitted')
redis.call('EXPIRE', key, ARGV[6])

local turns = held[4] and groups()
local group = turns and turns.of(held[4])
if group and ARGV[3] == '-1' then
  redis.call('ZREM', group.key, id)
  turns.wake(KEYS[1], KEYS[4], group, now)
elseif group then
  local queued = redis.call('HGET', key, 'status') == 'queued'
  local newer = queued and group.keep == 'latest' and redis.call('HEXISTS', key, 'reached') == 0
    and turns.unsent(group.key, '(' .. group.turn, 1)[1]
  if newer then
    -- While it was out the next one came: it need not be tried again.
    turns.supersede(KEYS[1], group.key, id, newer.id, now)
    turns.wake(KEYS[1], KEYS[4], group, now)
  else
    turns.place(group, id, group.keep == 'all' or not queued, ARGV[6])
  end
end

for note in each_note(last + 1, #ARGV) do
  -- The worker that commits rings at once; should that get lost, the sweep rings then.
  write_note(KEYS[2], key, 'notifications', note, now, now + ARGV[7] * 1000, ARGV[6])
end
return 1
