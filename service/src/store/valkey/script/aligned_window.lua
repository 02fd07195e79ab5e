-- aligned window: `last` (the end of the window that is counted) and `used`; the terms `first` to
-- `third` are the edges

if part == ALIGNED and not aligned then
  local function current(terms)
    if now < terms.second then return terms.first, terms.second end
    return terms.second, terms.third
  end

  local function rebase(c, terms)
    local _, last = current(terms)
    if c.last > now and c.last ~= last and c.used > 0 then
      c.last = last
      return true
    end
    return false
  end

  local function book(used, n)
    return used + n < MOST and used + n or MOST
  end

  local function fold(c, terms, list, count)
    local start, last = current(terms)
    local used = c.last <= now and 0 or c.used
    for i = 1, count, 2 do
      if list[i] > start then used = book(used, list[i + 1]) end
    end
    return last, used
  end

  local function state(c, terms)
    local list = c.holds
    local last, used = fold(c, terms, list, list and holds.expired(list, now) or 0)
    if list then used = used + holds.held(list, now) end
    if used == 0 then return terms.limit, 0 end
    local held_to = list and holds.last_end(list) or 0
    return minus(terms.limit, used), held_to > last and held_to or last
  end

  local function passes_at(c, terms, n)
    local list, limit = c.holds, terms.limit
    local _, used = fold(c, terms, list, list and holds.expired(list, now) or 0)
    local function held(at) return list and holds.held(list, at) or 0 end
    if used + held(now) + n <= limit then return now end
    if terms.second > now and held(terms.second) + n <= limit then return terms.second end
    if terms.third > now and held(terms.third) + n <= limit then return terms.third end
    return list and holds.last_end(list) or 0
  end

  aligned = {
    current = current,
    rebase = rebase,
    book = book,
    fold = fold,
    passes_at = passes_at,
    state = state,
  }
end

