-- token bucket: `anchor` and `taken` of the counter; the terms are tick, tokens, ticks, limit

-- Moves the anchor to `at` by whole periods; also answers the tokens of the period begun.
local function bucket_advance(anchor, taken, terms, at)
  local elapsed = at > anchor and (at - anchor) / terms.tick or 0
  elapsed = elapsed - elapsed % 1
  local periods = elapsed / terms.ticks
  periods = periods - periods % 1
  local owed = taken / terms.rate_tokens
  if periods <= owed - owed % 1 then
    local refilled = (elapsed - periods * terms.ticks) * terms.rate_tokens / terms.ticks
    refilled = refilled - refilled % 1
    local left = taken - periods * terms.rate_tokens
    if refilled < left then return anchor + periods * terms.ticks * terms.tick, left, refilled end
  end
  return at, 0, 0
end

-- The tokens that come back in 100 years, at most 2^52.
local function bucket_most_taken(terms)
  local ticks = LONGEST_REFILL / terms.tick
  ticks = ticks - ticks % 1
  local rest = ticks % terms.ticks
  local periods = (ticks - rest) / terms.ticks
  local most = MOST / terms.rate_tokens
  if periods > most - most % 1 then return MOST end
  local partial = rest * terms.rate_tokens / terms.ticks
  local tokens = periods * terms.rate_tokens + (partial - partial % 1)
  return tokens < MOST and tokens or MOST
end

local function bucket_cap(taken, terms)
  if taken > terms.limit then
    local most = bucket_most_taken(terms)
    if taken > most then return most end
  end
  return taken
end

-- The refill of a tick may pay for what was taken before the tick, not for what is taken in its
-- midst. So where the end of the tick would bring everything back, the tick begins anew.
local function bucket_restart_tick(anchor, taken, terms, at)
  if at <= anchor then return anchor, taken end
  local over = (at - anchor) % terms.tick
  if over == 0 then return anchor, taken end
  local ticks = (at - anchor - over) / terms.tick
  local back = (ticks + 1) * terms.rate_tokens / terms.ticks
  if back - back % 1 < taken then return anchor, taken end
  local refilled = ticks * terms.rate_tokens / terms.ticks
  return at, taken - (refilled - refilled % 1)
end

-- Takes `n` tokens at `at`, which the bucket was advanced to.
local function bucket_book(anchor, taken, terms, n, at)
  anchor, taken = bucket_restart_tick(anchor, taken, terms, at)
  return anchor, bucket_cap(taken + n, terms)
end

-- Books the first `count` slots of holds at their ends and advances to now.
local function bucket_fold(anchor, taken, terms, holds, count)
  for i = 1, count, 2 do
    anchor, taken = bucket_advance(anchor, taken, terms, holds[i])
    anchor, taken = bucket_book(anchor, taken, terms, holds[i + 1], holds[i])
  end
  return bucket_advance(anchor, taken, terms, now)
end

-- When `need` of the taken tokens are back.
local function bucket_refilled_at(anchor, terms, need)
  local rest = need % terms.rate_tokens
  local periods = (need - rest) / terms.rate_tokens
  local ticks = periods * terms.ticks + ceil(rest * terms.ticks / terms.rate_tokens)
  return anchor + ticks * terms.tick
end

local function bucket_state(c, terms)
  local holds = c.holds
  if not holds then
    local anchor, taken, refilled = bucket_advance(c.anchor, c.taken, terms, now)
    local full_at = taken == 0 and anchor or bucket_refilled_at(anchor, terms, taken)
    return minus(terms.limit + refilled, taken), full_at
  end
  local expired = holds_expired(holds, now)
  local anchor, taken, refilled = bucket_fold(c.anchor, c.taken, terms, holds, expired)
  local left = minus(terms.limit + refilled, taken + holds_held(holds, now))
  local last = now
  for i = expired + 1, #holds, 2 do
    anchor, taken = bucket_advance(anchor, taken, terms, holds[i])
    anchor, taken = bucket_book(anchor, taken, terms, holds[i + 1], holds[i])
    last = holds[i]
  end
  local full_at = bucket_refilled_at(anchor, terms, taken)
  return left, full_at > last and full_at or last
end

-- The earliest instant from now on at which `n` tokens pass; walks the ends of holds in order.
local function bucket_passes_at(c, terms, n)
  local holds, burst = c.holds or {}, terms.limit
  local expired = holds_expired(holds, now)
  local anchor, taken, refilled = bucket_fold(c.anchor, c.taken, terms, holds, expired)
  local held = holds_held(holds, now)
  if taken + held + n <= burst + refilled then return now end
  local from = now
  for i = expired + 1, #holds, 2 do
    if held + n <= burst then
      local at = bucket_refilled_at(anchor, terms, minus(taken + held + n, burst))
      if at < from then at = from end
      if at <= holds[i] then return at end
    end
    anchor, taken = bucket_advance(anchor, taken, terms, holds[i])
    anchor, taken = bucket_book(anchor, taken, terms, holds[i + 1], holds[i])
    held, from = minus(held, holds[i + 1]), holds[i]
  end
  local at = bucket_refilled_at(anchor, terms, minus(taken + held + n, burst))
  return at > from and at or from
end

