-- the call: reads, decides, writes

local VERSION, MSETEX, OK, LATE = 1, 1, 0, 1
local MOST_KEYS_PER_WRITE, DAY_SECONDS = 1000, 86400

local input = ARGV[3]
local version, flags, checks, at = unpack('<BBI2', input)
if version ~= VERSION then
  return redis.error_reply('SLUICEGATE the input has version ' .. version .. ', not ' .. VERSION)
end
if ARGV[1] ~= '' then
  now = unpack('<I8', ARGV[1])
else
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
if ARGV[2] ~= '' and now > unpack('<I8', ARGV[2]) then
  return pack('<BBI8I8', VERSION, LATE, now, 0)
end

stored = redis.call('MGET', spread(KEYS))
local generation = stored[1] and #stored[1] == 8 and unpack('<I8', stored[1])
local counters = { false } -- by place in KEYS, each decoded once; false where it cannot be

-- An ask with room for all its fields, so that the table never grows. What `first` to `third` are,
-- each algorithm's part says; of a settling, `lasting` is what was held.
local function read_ask()
  local place, tag, op, shadow, tokens, horizon, limit, first, second, third, next_at =
    unpack('<I2BBBI8I8I8I8I8I8', input, at)
  local hold_end, lasting, quantum
  if op >= HOLD and op < STRIKE then
    if not holds then need('holds') end
    hold_end, lasting, quantum, next_at = unpack('<I8I8I8', input, next_at)
  end
  at = next_at
  if tag ~= built then need(tag) end
  local c = counters[place]
  if c == nil then
    c = decode(stored[place])
    counters[place] = c
  end
  return { counter = c, tag = tag, op = op, shadow = shadow == 1, tokens = tokens,
    horizon = horizon, limit = limit, first = first, second = second, third = third,
    hold_end = hold_end, lasting = lasting, quantum = quantum, fits = false, wait = 0,
    granted = 0 }
end

for number = 1, checks do
  local asks, record_at, count, stale, bad = {}, 0, 0, false, nil
  record_at, count, at = unpack('<I2I2', input, at)
  for i = 1, count do
    local ask = read_ask()
    local c, tag = ask.counter, ask.tag
    asks[i] = ask
    if tag == ALIGNED and (now < ask.first or now >= ask.third) then stale = true end
    if not c then
      bad = bad or i - 1
    elseif ask.op <= HOLD then
      -- Asks on one counter are summed.
      if c.check ~= number then c.check, c.asked = number, 0 end
      c.asked = capped(c.asked + ask.tokens)
    end
  end
  if record_at > 0 then
    if not once then need('once') end
    if once.at_place(record_at) == false then bad = bad or count end
  end
  if stale or bad then
    parts = parts + 1
    out[parts] = pack('<BI2', stale and STALE or BAD, bad or 0)
  elseif record_at > 0 then once.run(asks, number, record_at)
  else decide(asks, number) end
end

local groups, empty = {}, {}

-- Groups what is written by its time to live in whole seconds, a power of two, so that writes share
-- few of them.
local function write(place, bytes, fresh_in)
  local seconds = math.ceil(fresh_in / 1000000) + 1
  local mantissa, exponent = math.frexp(seconds)
  if mantissa > 0.5 then seconds = 2 ^ exponent end
  if ARGV[1] ~= '' then seconds = seconds + DAY_SECONDS end
  local group = groups[seconds]
  if not group then
    group = {}
    groups[seconds] = group
  end
  local size = #group
  group[size + 1], group[size + 2] = KEYS[place], bytes
end

for place = 2, #KEYS do
  local c = counters[place]
  if c and c.dirty then
    local bytes = encode(c)
    if bytes then write(place, bytes, c.fresh_in)
    elseif c.stored then empty[#empty + 1] = KEYS[place] end
  end
end
if once then
  for place, record in pairs(once.records) do
    if record and record.dirty then write(place, once.encode(record), record.expiry - now) end
  end
end

-- From here on everything is decided.
if not generation then
  generation = now
  redis.call('SET', KEYS[1], pack('<I8', now))
end
for seconds, group in pairs(groups) do
  if flags % 2 == MSETEX and #group > 2 then
    for first = 1, #group, MOST_KEYS_PER_WRITE * 2 do
      local last = first + MOST_KEYS_PER_WRITE * 2 - 1
      if last > #group then last = #group end
      local command = { 'MSETEX', (last - first + 1) / 2, spread(group, first, last) }
      command[#command + 1] = 'EX'
      command[#command + 1] = seconds
      redis.call(spread(command))
    end
  else
    for i = 1, #group, 2 do redis.call('SET', group[i], group[i + 1], 'EX', seconds) end
  end
end
if empty[1] then redis.call('DEL', spread(empty)) end

out[1] = pack('<BBI8I8', VERSION, OK, now, generation)
return table.concat(out)
