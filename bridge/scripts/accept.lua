-- Store one delivery with every execution it causes: all of it or nothing, in one round trip.
-- KEYS  due, bell, outbox
-- ARGV  delivery id, attempt (repeats of one call carry the same), record (JSON), outcome, body,
--       seconds to keep the record, seconds to keep the body, note for the executions' history ('': none),
--       how many notifications there are of the delivery itself (0 or 1), and them, as outbox.lua has them,
--       then per execution: id, record (JSON), milliseconds it may wait to be sent, its group ('': none; group.lua),
--       how many notifications there are of it, and them
-- Answer {"stored"} or {"duplicate", outcome, then per execution of the first delivery: id, record, status}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local delivery = 'gb:d:' .. ARGV[1]

local before = redis.pcall('HMGET', delivery, 'attempt', 'executions', 'outcome') -- of another type: overwritten below
if before[1] == ARGV[2] then
  -- Our own earlier call, whose answer was lost on the way. Written again, so that a WAIT behind it waits for it.
  redis.call('HSET', delivery, 'attempt', ARGV[2])
  return {'stored'}
end
if before[2] and before[2] ~= '' then
  -- A repeat runs only if nothing of the first one ever reached the engine.
  local reached = false
  local answer = {'duplicate', before[3]}
  for id in string.gmatch(before[2], '%S+') do
    local seen = redis.pcall('HMGET', 'gb:x:' .. id, 'record', 'status', 'final', 'reached')
    if not seen[1] or seen[3] ~= '1' or seen[4] == '1' then
      reached = true
    end
    if seen[1] then
      answer[#answer + 1] = id
      answer[#answer + 1] = seen[1]
      answer[#answer + 1] = seen[2]
    end
  end
  if reached then
    redis.call('HINCRBY', delivery, 'repeats', 1)
    return answer
  end
end

-- A full Redis refuses a script at its first write only, and only if that write takes memory: so this one, no DEL.
redis.call('SET', 'gb:b:' .. ARGV[1], ARGV[5], 'EX', ARGV[7])
local ids, turns = {}
local i = 10 + 4 * ARGV[9]
while i <= #ARGV do
  local id = ARGV[i]
  local key = 'gb:x:' .. id
  ids[#ids + 1] = id
  redis.call('DEL', key)
  redis.call('HSET', key, 'record', ARGV[i + 1], 'status', 'queued', 'attempts', 0, 'created', now,
    'deadline', now + tonumber(ARGV[i + 2]),
    'history', now .. ' queued' .. (ARGV[8] ~= '' and ' ' .. ARGV[8] or ''))
  redis.call('EXPIRE', key, ARGV[6])
  local at = now
  if ARGV[i + 3] ~= '' then
    turns = turns or groups()
    at = turns.enter(KEYS[1], ARGV[i + 3], id, time, now, ARGV[6])
  end
  redis.call('ZADD', KEYS[1], at, id)
  local last = i + 4 + 4 * ARGV[i + 4]
  for note in each_note(i + 5, last) do
    -- The next sweep rings for it: what has begun meanwhile is told instead.
    write_note(KEYS[3], key, 'notifications', note, now, now, ARGV[6])
  end
  i = last + 1
end
redis.call('DEL', delivery)
redis.call('HSET', delivery, 'attempt', ARGV[2], 'record', ARGV[3], 'outcome', ARGV[4], 'received', now,
  'executions', table.concat(ids, ' '))
redis.call('EXPIRE', delivery, ARGV[6])
for note in each_note(10, 9 + 4 * ARGV[9]) do
  write_note(KEYS[3], delivery, 'notification', note, now, now, ARGV[6])
  ring_for(note.id)
end
-- What is newest, for lists: bounded, so that it costs the same however much comes.
local index = {['gb:deliveries'] = {ARGV[1]}, ['gb:executions'] = ids}
for key, members in pairs(index) do
  for _, id in ipairs(members) do
    redis.call('ZADD', key, now, id)
  end
  redis.call('ZREMRANGEBYRANK', key, 0, -10001)
  redis.call('EXPIRE', key, ARGV[6])
end
if #ids > 0 then
  ring(KEYS[2])
end
return {'stored'}
