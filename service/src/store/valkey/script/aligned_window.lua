-- aligned window: `last` (the end of the window that is counted) and `used`

local function aligned_current(terms)
  if now < terms.edge2 then return terms.edge1, terms.edge2 end
  return terms.edge2, terms.edge3
end

local function aligned_rebase(c, terms)
  local _, last = aligned_current(terms)
  if c.last > now and c.last ~= last and c.used > 0 then
    c.last = last
    return true
  end
  return false
end

local function aligned_book(used, n)
  return used + n < MOST and used + n or MOST
end

local function aligned_fold(c, terms, holds, count)
  local start, last = aligned_current(terms)
  local used = c.last <= now and 0 or c.used
  for i = 1, count, 2 do
    if holds[i] > start then used = aligned_book(used, holds[i + 1]) end
  end
  return last, used
end

local function aligned_state(c, terms)
  local holds = c.holds or {}
  local last, used = aligned_fold(c, terms, holds, holds_expired(holds, now))
  used = used + holds_held(holds, now)
  if used == 0 then return terms.limit, 0 end
  local held_to = holds_last_end(holds)
  return minus(terms.limit, used), held_to > last and held_to or last
end

local function aligned_passes_at(c, terms, n)
  local holds, limit = c.holds or {}, terms.limit
  local _, used = aligned_fold(c, terms, holds, holds_expired(holds, now))
  if used + holds_held(holds, now) + n <= limit then return now end
  if terms.edge2 > now and holds_held(holds, terms.edge2) + n <= limit then return terms.edge2 end
  if terms.edge3 > now and holds_held(holds, terms.edge3) + n <= limit then return terms.edge3 end
  return holds_last_end(holds)
end

