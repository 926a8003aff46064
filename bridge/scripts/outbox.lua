-- Stands before the scripts that have something told: how a notification is written down.

local AGAIN = 2000 -- milliseconds between two tellings of the same, at least

-- Write a notification, due at once. One that is there already is left as it is, for it was written by an earlier call;
-- but one that says `again` tells anew what has changed since: it gets the new body, and becomes the newest.
local function write_note(outbox, owner, field, note, now, ring_at, seconds)
  local key = 'gb:n:' .. note.id
  local there = redis.call('HMGET', key, 'state', 'next')
  local fresh = not there[1] or (note.again and there[1] ~= 'dead')
  if fresh then
    local state, at = 'due', now
    if there[1] then
      redis.call('HINCRBY', key, 'version', 1)
      state = there[1] == 'sending' and 'sending' or 'due'
      -- The lease of one that is on the wire, and the wait of one that could not be sent, stand; what was told a moment
      -- ago is not told anew at once.
      at = math.max(now, (tonumber(there[2]) or 0) + (there[1] == 'delivered' and AGAIN or 0))
    end
    if there[1] ~= 'sending' and there[1] ~= 'due' then
      redis.call('HSET', key, 'attempts', 0)
    end
    redis.call('HSET', key, 'record', note.record, 'body', note.body, 'state', state, 'next', at)
    redis.call('EXPIRE', key, seconds)
    redis.call('ZADD', outbox, math.max(ring_at, at), note.id)
  end
  local notes, listed = {}, false
  for id in string.gmatch(redis.call('HGET', owner, field) or '', '%S+') do
    listed = listed or id == note.id
    if id ~= note.id or not fresh then
      notes[#notes + 1] = id
    end
  end
  if fresh or not listed then
    notes[#notes + 1] = note.id
    redis.call('HSET', owner, field, table.concat(notes, ' '))
  end
end

-- Have a worker tell something now, who has not written it down itself. That gets lost with nobody to hear it; the sweep
-- rings again.
local function ring_for(id)
  redis.call('RPUSH', 'gb:rung', id)
  redis.call('LTRIM', 'gb:rung', -1000, -1)
  redis.call('EXPIRE', 'gb:rung', 60)
end

-- Read the notifications in ARGV from `first` to `last`: id, record, body, 1 for `again`.
local function each_note(first, last)
  local i = first - 4
  return function()
    i = i + 4
    if i <= last then
      return {id = ARGV[i], record = ARGV[i + 1], body = ARGV[i + 2], again = ARGV[i + 3] == '1'}
    end
  end
end

