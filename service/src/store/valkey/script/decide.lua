-- the call: reads, decides, writes

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

local stored = redis.call('MGET', spread(KEYS))
local generation = stored[1] and #stored[1] == 8 and unpack('<I8', stored[1])
local counters = {} -- by place in KEYS, each decoded once; false where it cannot be

local function counter(place)
  local c = counters[place]
  if c == nil then
    c = decode(stored[place]) or false
    counters[place] = c
  end
  return c
end

local function read_ask()
  local ask, op = {}
  ask.place, ask.tag, op, ask.shadow, ask.tokens, ask.horizon, ask.p, ask.q, ask.r, ask.s, at =
    unpack('<I2BBBI8I8I8I8I8I8', input, at)
  ask.op, ask.limit = op, ask.p
  if ask.tag == BUCKET then
    ask.tick, ask.rate_tokens, ask.ticks = ask.q, ask.r, ask.s
  elseif ask.tag == SLIDING then
    ask.window = ask.q
  elseif ask.tag == ALIGNED then
    ask.edge1, ask.edge2, ask.edge3 = ask.q, ask.r, ask.s
  end
  if op >= HOLD then
    ask.hold_end, ask.lasting, ask.quantum, at = unpack('<I8I8I8', input, at)
    ask.held = ask.lasting
  end
  return ask
end

local out = { '' } -- the header comes last, as it tells the generation

local function refuse(status, index) out[#out + 1] = pack('<BI2', status, index) end

-- Looks at every ask, takes all or nothing, answers the state after.
local function decide(asks, sums)
  local fits, waits, ends, allowed = {}, {}, {}, true
  for i = 1, #asks do
    local ask = asks[i]
    local c = counters[ask.place]
    rebase(c, ask)
    local n = ask.op <= HOLD and sums[ask.place] or ask.tokens
    fits[i], waits[i] = mark(c, ask, n)
    allowed = allowed and (fits[i] or ask.shadow == 1)
  end
  for i = 1, #asks do
    ends[i] = allowed and fits[i] and apply(counters[asks[i].place], asks[i]) or 0
  end
  out[#out + 1] = pack('<BI2', allowed and ALLOWED or DENIED, 0)
  for i = 1, #asks do
    local ask, wait = asks[i], waits[i]
    local c = counters[ask.place]
    local left, full_in = state(c, ask)
    if c.fresh_ask == ask then c.fresh_in = full_in end
    local word = (fits[i] and 1 or 0) + (wait == NEVER and 4 or wait > 0 and 2 or 0)
    out[#out + 1] =
      pack('<BI8I8I8I8', word, left, wait == NEVER and 0 or wait, full_in, ends[i])
  end
end

for _ = 1, checks do
  local asks, sums, count, stale, bad = {}, {}
  count, at = unpack('<I2', input, at)
  for i = 1, count do
    local ask = read_ask()
    asks[i] = ask
    if ask.tag == ALIGNED and (now < ask.edge1 or now >= ask.edge3) then stale = true end
    if not counter(ask.place) then bad = bad or i - 1 end
    if ask.op <= HOLD then sums[ask.place] = capped((sums[ask.place] or 0) + ask.tokens) end
  end
  if stale then refuse(STALE, 0) elseif bad then refuse(BAD, bad) else decide(asks, sums) end
end

-- Time to live in whole seconds, a power of two, so that writes share few of them.
local function seconds_to_live(fresh_in)
  local least, seconds = ceil(fresh_in / 1000000) + 1, 1
  while seconds < least do seconds = seconds * 2 end
  return ARGV[1] == '' and seconds or seconds + DAY_SECONDS
end

local groups, empty = {}, {}
for place, c in pairs(counters) do
  if c and c.dirty then
    local bytes = encode(c)
    if bytes then
      local seconds = seconds_to_live(c.fresh_in or 0)
      local group = groups[seconds] or {}
      groups[seconds] = group
      group[#group + 1] = KEYS[place]
      group[#group + 1] = bytes
    elseif c.stored then
      empty[#empty + 1] = KEYS[place]
    end
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
      local write = { 'MSETEX', (last - first + 1) / 2, spread(group, first, last) }
      write[#write + 1] = 'EX'
      write[#write + 1] = seconds
      redis.call(spread(write))
    end
  else
    for i = 1, #group, 2 do redis.call('SET', group[i], group[i + 1], 'EX', seconds) end
  end
end
if empty[1] then redis.call('DEL', spread(empty)) end

out[1] = pack('<BBI8I8', VERSION, OK, now, generation)
return table.concat(out)
