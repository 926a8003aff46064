-- Note something about an execution in its history, and have what was told of it say so.
-- KEYS  outbox
-- ARGV  execution id, note ('': none), seconds to keep the record, then notifications, as outbox.lua has them
-- Answer 1, or 0 when there is no such execution
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local key = 'gb:x:' .. ARGV[1]
local was = redis.call('HMGET', key, 'status', 'history')
if not was[1] or not was[2] then
  return 0
end
if ARGV[2] ~= '' then
  redis.call('HSET', key, 'history', was[2] .. '\n' .. now .. ' ' .. was[1] .. ' ' .. ARGV[2])
end
redis.call('EXPIRE', key, ARGV[3])
for note in each_note(4, #ARGV) do
  write_note(KEYS[1], key, 'notifications', note, now, now, ARGV[3])
  ring_for(note.id)
end
return 1
