-- token bucket: `anchor` and `taken` of the counter; the terms `first` to `third` are the tick, and
-- the tokens that come back in how many ticks

if part == BUCKET and not bucket then
  local ceil = math.ceil
  local LONGEST_REFILL = 100 * 366 * 86400 * 1000000

  -- Moves the anchor to `at` by whole periods; also answers the tokens of the period begun.
  local function advance(anchor, taken, terms, at)
    local elapsed = at > anchor and (at - anchor) / terms.first or 0
    elapsed = elapsed - elapsed % 1
    local periods = elapsed / terms.third
    periods = periods - periods % 1
    local owed = taken / terms.second
    if periods <= owed - owed % 1 then
      local refilled = (elapsed - periods * terms.third) * terms.second / terms.third
      refilled = refilled - refilled % 1
      local left = taken - periods * terms.second
      if refilled < left then
        return anchor + periods * terms.third * terms.first, left, refilled
      end
    end
    return at, 0, 0
  end

  -- The tokens that come back in 100 years, at most 2^52.
  local function most_taken(terms)
    local ticks = LONGEST_REFILL / terms.first
    ticks = ticks - ticks % 1
    local rest = ticks % terms.third
    local periods = (ticks - rest) / terms.third
    local most = MOST / terms.second
    if periods > most - most % 1 then return MOST end
    local partial = rest * terms.second / terms.third
    local tokens = periods * terms.second + (partial - partial % 1)
    return tokens < MOST and tokens or MOST
  end

  local function cap(taken, terms)
    if taken > terms.limit then
      local most = most_taken(terms)
      if taken > most then return most end
    end
    return taken
  end

  -- The refill of a tick may pay for what was taken before the tick, not for what is taken in its
  -- midst. So where the end of the tick would bring everything back, the tick begins anew.
  local function restart_tick(anchor, taken, terms, at)
    if at <= anchor then return anchor, taken end
    local over = (at - anchor) % terms.first
    if over == 0 then return anchor, taken end
    local ticks = (at - anchor - over) / terms.first
    local back = (ticks + 1) * terms.second / terms.third
    if back - back % 1 < taken then return anchor, taken end
    local refilled = ticks * terms.second / terms.third
    return at, taken - (refilled - refilled % 1)
  end

  -- Takes `n` tokens at `at`, which the bucket was advanced to.
  local function book(anchor, taken, terms, n, at)
    anchor, taken = restart_tick(anchor, taken, terms, at)
    return anchor, cap(taken + n, terms)
  end

  -- Books the first `count` slots of holds at their ends and advances to now.
  local function fold(anchor, taken, terms, list, count)
    for i = 1, count, 2 do
      anchor, taken = advance(anchor, taken, terms, list[i])
      anchor, taken = book(anchor, taken, terms, list[i + 1], list[i])
    end
    return advance(anchor, taken, terms, now)
  end

  -- When `need` of the taken tokens are back.
  local function refilled_at(anchor, terms, need)
    local rest = need % terms.second
    local periods = (need - rest) / terms.second
    local ticks = periods * terms.third + ceil(rest * terms.third / terms.second)
    return anchor + ticks * terms.first
  end

  local function state(c, terms)
    local list = c.holds
    if not list then
      local anchor, taken, refilled = advance(c.anchor, c.taken, terms, now)
      return minus(terms.limit + refilled, taken), refilled_at(anchor, terms, taken)
    end
    local expired = holds.expired(list, now)
    local anchor, taken, refilled = fold(c.anchor, c.taken, terms, list, expired)
    local left = minus(terms.limit + refilled, taken + holds.held(list, now))
    local last = now
    for i = expired + 1, #list, 2 do
      anchor, taken = advance(anchor, taken, terms, list[i])
      anchor, taken = book(anchor, taken, terms, list[i + 1], list[i])
      last = list[i]
    end
    local full_at = refilled_at(anchor, terms, taken)
    return left, full_at > last and full_at or last
  end

  -- The earliest instant from now on at which `n` tokens pass; walks the ends of holds in order.
  local function passes_at(c, terms, n)
    local list, burst = c.holds, terms.limit
    local expired = list and holds.expired(list, now) or 0
    local anchor, taken, refilled = fold(c.anchor, c.taken, terms, list, expired)
    local held = list and holds.held(list, now) or 0
    if taken + held + n <= burst + refilled then return now end
    local from = now
    for i = expired + 1, list and #list or 0, 2 do
      if held + n <= burst then
        local at = refilled_at(anchor, terms, minus(taken + held + n, burst))
        if at < from then at = from end
        if at <= list[i] then return at end
      end
      anchor, taken = advance(anchor, taken, terms, list[i])
      anchor, taken = book(anchor, taken, terms, list[i + 1], list[i])
      held, from = minus(held, list[i + 1]), list[i]
    end
    local at = refilled_at(anchor, terms, minus(taken + held + n, burst))
    return at > from and at or from
  end

  bucket = {
    book = book,
    cap = cap,
    fold = fold,
    passes_at = passes_at,
    state = state,
  }
end

