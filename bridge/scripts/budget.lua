-- Stands before claim.lua: whether an engine's key has room for an execution's next step. Nothing here outlives its use:
-- gb:tokens:<account>:<bucket>  when the bucket would be full again; gone when it is
-- gb:hold:<account>:<bucket>    until when nothing may be sent (scripts/hold.lua)
-- gb:slots:<account>            the executions that run there: one counts as long as its own record says that it runs
-- gb:line:<account>             the executions that wait for a slot, the oldest first
local RUNNING = {starting = true, pending = true, running = true, review_pending = true}

-- Say for how many milliseconds a step has to wait for a token of its bucket (0: it has one), and whether that is the
-- engine's word. Where there is a limit a step is told its time once, and the next one a later time, so that however
-- many wait, each is looked at twice. Where there is none, all go on when the engine's word is over, a little apart.
local function token(name, limit, booked, now)
  local hold = redis.pcall('GET', 'gb:hold:' .. name)
  local held_until = type(hold) == 'string' and tonumber(hold) or 0
  local held = held_until > now
  if not limit then
    return held and held_until - now + math.random(0, math.ceil((held_until - now) / 10)) or 0, held
  end
  if not held and booked and booked <= now then
    return 0
  end
  if booked and booked > now and held_until <= booked then
    return booked - now, held -- looked at before its time: it keeps its place
  end
  local interval, burst = limit[1], limit[2]
  local key = 'gb:tokens:' .. name
  local full = redis.pcall('GET', key)
  full = math.max(type(full) == 'string' and tonumber(full) or 0, now)
  if held then
    full = math.max(full, held_until + burst)
  end
  redis.call('SET', key, string.format('%.3f', full + interval), 'PX', math.ceil(full + interval - now))
  -- Sums of fractions are a little off.
  return math.max(0, math.ceil(full - burst - now - 0.1)), held
end

-- How many run there. What has ended, was never sent or is gone holds no slot, whoever forgot to say so.
local counted = {}
local function running(account, now, most)
  local key = 'gb:slots:' .. account
  if not counted[account] then
    local members = redis.pcall('ZRANGE', key, 0, -1)
    if members.err then
      redis.call('DEL', key)
      members = {}
    end
    counted[account] = #members
    for _, id in ipairs(#members >= most and members or {}) do
      local is = redis.pcall('HMGET', 'gb:x:' .. id, 'status', 'final')
      if is.err or not RUNNING[is[1]] or is[2] == '1' then
        redis.call('ZREM', key, id)
        counted[account] = counted[account] - 1
      end
    end
  end
  return counted[account]
end

-- Say how many have waited longer for a slot; nothing when it is this one's turn.
local function turn(account, id, created, now, engine)
  local free = engine.at_once - running(account, now, engine.at_once)
  local key = 'gb:line:' .. account
  if type(redis.pcall('ZADD', key, 'NX', created, id)) == 'table' then
    -- Not ours.
    redis.call('DEL', key)
    redis.call('ZADD', key, created, id)
  end
  redis.call('EXPIRE', key, ARGV[6])
  redis.call('HSET', 'gb:x:' .. id, 'waits', account)
  while free > 0 do
    local stale = false
    for _, first in ipairs(redis.call('ZRANGE', key, 0, free - 1)) do
      if first == id then
        return nil
      end
      local is = redis.pcall('HMGET', 'gb:x:' .. first, 'status', 'waits')
      if is.err or is[1] ~= 'queued' or is[2] ~= account then
        redis.call('ZREM', key, first)
        stale = true
      end
    end
    if not stale then
      break
    end
  end
  return redis.call('ZRANK', key, id)
end

-- Say for how many milliseconds a trigger (its record's bucket; with a slot) or a poll has to wait, and what for.
local function room(id, record, status, now, engines, again)
  local readable, said = pcall(cjson.decode, record)
  local engine = readable and type(said) == 'table' and engines[said.engine]
  if not engine then
    return 0
  end
  local key, account = 'gb:x:' .. id, engine.account
  local had = redis.call('HMGET', key, 'booked', 'created')
  local bucket = 'fetches'
  if status == 'queued' then
    bucket = type(said.bucket) == 'string' and said.bucket or 'triggers'
    local before = engine.at_once and turn(account, id, tonumber(had[2]) or now, now, engine)
    if before then
      -- Who is far from the head is looked at more rarely, so that a long line costs no more than a short one.
      return again * math.min(60, 1 + math.floor(before / 50)), 'waits for a run to end: ' .. said.engine .. ' takes ' .. engine.at_once .. ' at once'
    end
  end
  local wait, held = token(account .. ':' .. bucket, engine.limits[bucket], tonumber(had[1] or ''), now)
  if wait > 0 then
    if engine.limits[bucket] then
      redis.call('HSET', key, 'booked', string.format('%.0f', now + wait))
    end
    local why = held and 'waits: ' .. said.engine .. ' has answered that it is too much'
    return wait, (why or 'waits for its turn: the budget of ' .. said.engine) .. ' (' .. bucket .. ')'
  end
  redis.call('HDEL', key, 'booked', 'waits')
  if status == 'queued' and engine.at_once then
    redis.call('ZREM', 'gb:line:' .. account, id)
    redis.call('ZADD', 'gb:slots:' .. account, now, id)
    redis.call('EXPIRE', 'gb:slots:' .. account, ARGV[6])
    counted[account] = counted[account] + 1
  end
  return 0
end

