-- Keep, read or end a session on the page.
-- KEYS  the session
-- ARGV  what (keep | read | end), its record, seconds to keep it (keep)
-- Answer {} or {record} (read)
if ARGV[1] == 'keep' then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
elseif ARGV[1] == 'end' then
  redis.call('DEL', KEYS[1])
end
local found = redis.call('GET', KEYS[1])
return found and {found} or {}
