-- one check: looks at every ask, takes all or nothing, answers the state after

-- The answer in parts, and how many; its header comes last, as it tells the generation.
local out, parts = { '' }, 1
local DENIED, ALLOWED, STALE, BAD = 0, 1, 2, 3
local FITS, WAITS, NEVER_FITS, BOOKED = 1, 2, 4, 8

-- `number` is the check's. Answers whether it passed.
local function decide(asks, number)
  local allowed = true
  for i = 1, #asks do
    local ask = asks[i]
    local c = ask.counter
    local before = c.tag == ALIGNED and c.last > now and c.used or 0
    rebase(c, ask)
    local needs_room = ask.op <= HOLD and c.check == number
    ask.fits, ask.wait = mark(c, ask, needs_room and c.asked or ask.tokens)
    ask.horizon = before -- of no more use, so that the table need not grow
    allowed = allowed and (ask.fits or ask.shadow)
  end
  if allowed then
    for i = 1, #asks do
      local ask = asks[i]
      if ask.fits then ask.granted = apply(ask.counter, ask) end
    end
  elseif penalty then
    penalty.strike_all(asks)
  end
  parts = parts + 1
  out[parts] = pack('<BI2', allowed and ALLOWED or DENIED, #asks)
  for i = 1, #asks do
    local ask = asks[i]
    local c, wait = ask.counter, ask.wait
    local left, full_in = state(c, ask)
    if c.fresh_ask == ask then c.fresh_in = full_in end
    local word = WAITS
    if ask.fits then word = wait > 0 and FITS + WAITS or FITS
    elseif wait == NEVER then word, wait = NEVER_FITS, 0 end
    parts = parts + 1
    local before, after = ask.horizon, c.tag == ALIGNED and c.last > now and c.used or 0
    if before + after > 0 and ask.tag == ALIGNED then
      out[parts] = pack('<BI8I8I8I8I8I8', word + BOOKED, left, wait, full_in, ask.granted,
        before, after)
    else
      out[parts] = pack('<BI8I8I8I8', word, left, wait, full_in, ask.granted)
    end
  end
  return allowed
end

