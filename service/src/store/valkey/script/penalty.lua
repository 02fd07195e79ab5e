-- penalty: `last` (the end of the window whose strikes are counted), `used` (the strikes) and
-- `blocked` (when the block ends); the terms `limit` to `second` are after, within and block

if part == PENALTY and not penalty then
  local function window_end(terms) return capped(now - now % terms.first + terms.first) end

  -- A window or a block that reaches further than one that begins now is cut to that.
  local function rebase(c, terms)
    local last, latest, changed = window_end(terms), capped(now + terms.second), false
    if c.used > 0 and c.last > last then c.last, changed = last, true end
    if c.blocked > latest then c.blocked, changed = latest, true end
    return changed
  end

  local function mark(c)
    if c.blocked > now then return false, c.blocked - now end
    return true, 0
  end

  local function state(c, terms)
    local strikes = c.last > now and c.used or 0
    local full_at = strikes > 0 and c.last > c.blocked and c.last or c.blocked
    return c.blocked > now and 0 or minus(terms.limit, strikes), full_at
  end

  -- Counts a denial, when nothing blocks. Answers whether a block begins.
  local function strike(c, terms)
    if c.last <= now or c.used == 0 then c.last, c.used = window_end(terms), 0 end
    c.used, c.blocked = c.used + 1, 0
    if c.used < terms.limit then return false end
    c.used, c.blocked = 0, capped(now + terms.second)
    return true
  end

  -- After a denied check: each strike that is not blocked itself, whose main ask was denied.
  local function strike_all(asks)
    for i = 2, #asks do
      local ask = asks[i]
      local c = ask.counter
      if ask.op == STRIKE and ask.tag == PENALTY and c.tag == PENALTY and ask.fits
        and not ask.shadow and not asks[i - 1].fits then
        if strike(c, ask) then ask.wait = ask.second end
        c.dirty, c.fresh_ask = true, ask
      end
    end
  end

  penalty = {
    mark = mark,
    rebase = rebase,
    state = state,
    strike_all = strike_all,
  }
end

