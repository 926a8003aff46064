-- What executions of one key (`at_a_time`) are to one another; stands before the scripts that need it.
-- gb:g:<group>  zset  execution -> its turn; minus its turn while it is out (starting, pending, running, review_pending)
-- Of an execution: `group` = '<keep> <turn> <group>'; `until` = when its debounce ends; `skip` = why it is not to start.
-- A member counts only while it is in the schedule. Whatever has ended, expired, or cannot be read has left that, so
-- nothing that became of one member can keep the others waiting for ever.
-- One function that makes the others, so that a script that meets no group pays for one only.

local function ring(bell)
  -- One ring is enough for any number of executions: whoever wakes claims all that is due.
  if redis.call('LLEN', bell) == 0 then
    redis.call('LPUSH', bell, '1')
    redis.call('EXPIRE', bell, 60)
  end
end

local function groups()
  local function open(name)
    local key = 'gb:g:' .. name
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'zset' and kind ~= 'none' then
      redis.call('DEL', key) -- not ours, under our name
    end
    return key
  end

  local function in_group(text)
    local keep, turn, name = string.match(text, '^(%a+) (%d+) (%S+)$')
    return keep and {keep = keep, turn = turn, key = open(name)}
  end

  -- The first member with a score in the range that counts, other than `but`.
  local function first(due, key, from, to, but)
    local at = 0
    while true do
      local id = redis.call('ZRANGEBYSCORE', key, from, to, 'LIMIT', at, 1)[1]
      if not id then
        return nil
      elseif id == but then
        at = 1
      elseif redis.call('ZSCORE', due, id) then
        return id
      else
        redis.call('ZREM', key, id)
      end
    end
  end

  -- The one that an execution has to wait for: any that is out, else any whose turn comes before.
  local function ahead(due, group, id)
    if group.keep == 'all' then
      return nil
    end
    return first(due, group.key, '-inf', '(0', id) or first(due, group.key, '(0', '(' .. group.turn, id)
  end

  local function place(group, id, out, seconds)
    if out and group.keep == 'all' then
      redis.call('ZREM', group.key, id) -- nobody waits for it
    else
      redis.call('ZADD', group.key, (out and '-' or '') .. group.turn, id)
      redis.call('EXPIRE', group.key, seconds)
    end
  end

  -- Let the next one look again at once, if it waits at all: one in its debounce or its back-off comes by itself.
  local function wake(due, bell, group, now)
    local id = first(due, group.key, '(0', '+inf')
    if id and redis.call('HEXISTS', 'gb:x:' .. id, 'held') == 1 then
      redis.call('ZADD', due, now, id)
      ring(bell)
    end
  end

  -- End one that was not sent, for a newer one; a worker writes its end down.
  local function supersede(due, key, older, newer, now)
    redis.call('HSET', 'gb:x:' .. older, 'skip', 'superseded by ' .. newer)
    redis.call('ZREM', key, older)
    redis.call('ZADD', due, 'XX', now, older)
  end

  -- Those that wait and were never sent; of one sent before nobody can say that it need not start.
  local function unsent(key, from, most)
    local found = {}
    for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', key, '+inf', from, 'LIMIT', 0, most)) do
      local seen = redis.call('HMGET', 'gb:x:' .. id, 'status', 'reached', 'until')
      if seen[1] == 'queued' and not seen[2] then
        found[#found + 1] = {id = id, till = tonumber(seen[3] or 0)}
      end
    end
    return found
  end

  -- Bring a new execution in, `wanted` being '<keep> <milliseconds of debounce> <group>'. Answer when it is due first.
  local function enter(due, wanted, id, time, now, seconds)
    local keep, debounce, name = string.match(wanted, '^(%a+) (%d+) (%S+)$')
    local key = open(name)
    if keep == 'first' then
      local other = first(due, key, '-inf', '+inf', id)
      if other then
        redis.call('HSET', 'gb:x:' .. id, 'skip', other .. ' of the same key came first')
        return now
      end
    elseif keep == 'latest' or debounce ~= '0' then
      -- Of several in their debounce only the newest can be left, so that one is enough to look at.
      for _, older in ipairs(unsent(key, '(0', keep == 'latest' and -1 or 1)) do
        if keep == 'latest' or older.till > now then
          supersede(due, key, older.id, id, now)
        end
      end
    end
    -- Microseconds, or more where several come in one, or the clock was put back: turns are as the accepts were.
    local turn = time[1] * 1000000 + time[2]
    local newest = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2]
    if newest and tonumber(newest) >= turn then
      turn = newest + 1
    end
    local group = {keep = keep, turn = string.format('%.0f', turn), key = key}
    redis.call('HSET', 'gb:x:' .. id, 'group', keep .. ' ' .. group.turn .. ' ' .. name)
    place(group, id, false, seconds)
    if debounce ~= '0' then
      redis.call('HSET', 'gb:x:' .. id, 'until', now + debounce)
      redis.call('HINCRBY', 'gb:x:' .. id, 'deadline', debounce)
    end
    return now + debounce
  end

  return {of = in_group, ahead = ahead, place = place, wake = wake, supersede = supersede, unsent = unsent, enter = enter}
end
