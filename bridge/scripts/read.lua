-- Read several hashes at once.
-- KEYS  the hashes
-- Answer per key its fields; {} where there is none, or something else
local answer = {}
for i, key in ipairs(KEYS) do
  local found = redis.pcall('HGETALL', key)
  answer[i] = found.err and {} or found
end
return answer
