-- sliding window: `opening`, `total` and the entries, oldest first. Entries that nothing has
-- touched stay packed, in bytes[from, to); newer ones follow in `tail`, flat, from `first` on.
-- The term `first` is the length of the window.

if part == SLIDING and not sliding then
  local EXACT_LIMIT, MOST_ENTRIES = 64, 256

  local function new()
    return { opening = 0, total = 0, bytes = '', from = 1, to = 1, tail = {}, first = 1 }
  end

  local function copy(w)
    local tail = {}
    for i = w.first, #w.tail do tail[#tail + 1] = w.tail[i] end
    return { opening = w.opening, total = w.total, bytes = w.bytes, from = w.from, to = w.to,
      tail = tail, first = 1 }
  end

  local function oldest(w)
    if w.from < w.to then
      local time, tokens = unpack('<I8I8', w.bytes, w.from)
      return time, tokens
    end
    return w.tail[w.first], w.tail[w.first + 1]
  end

  local function newest_time(w)
    if w.first < #w.tail then return w.tail[#w.tail - 1] end
    if w.from < w.to then return (unpack('<I8', w.bytes, w.to - 16)) end
    return nil
  end

  local function drop_oldest(w)
    if w.from < w.to then w.from = w.from + 16 else w.first = w.first + 2 end
  end

  -- Unpacks entries from the newest on until the newest is in the tail. Answers whether it is.
  local function open_newest(w)
    if w.first < #w.tail then return true end
    if w.from >= w.to then return false end
    w.to = w.to - 16
    local time, tokens = unpack('<I8I8', w.bytes, w.to)
    w.tail, w.first = { time, tokens }, 1
    return true
  end

  -- Unpacks every entry into the tail.
  local function open_all(w)
    local tail = {}
    for at = w.from, w.to - 16, 16 do
      local n = #tail
      tail[n + 1], tail[n + 2] = unpack('<I8I8', w.bytes, at)
    end
    for i = w.first, #w.tail do tail[#tail + 1] = w.tail[i] end
    w.tail, w.first, w.from, w.to = tail, 1, 1, 1
  end

  -- Keeps the total at most 2^52 and the entries at most 256.
  local function shrink(w)
    local count = (w.to - w.from) / 16 + (#w.tail - w.first + 1) / 2
    if w.total <= MOST and count <= MOST_ENTRIES then return end
    open_all(w)
    local tail = w.tail
    while w.total > MOST and tail[w.first] do
      local over = w.total - MOST
      local cut = tail[w.first + 1] < over and tail[w.first + 1] or over
      tail[w.first + 1] = tail[w.first + 1] - cut
      w.total = w.total - cut
      if tail[w.first + 1] == 0 then w.first = w.first + 2 end
    end
    if (#tail - w.first + 1) / 2 > MOST_ENTRIES then
      tail[w.first + 3] = tail[w.first + 3] + tail[w.first + 1]
      w.first = w.first + 2
    end
  end

  -- Takes `n` tokens at `at`, which joins the newest entry or opens one.
  local function book(w, terms, n, at)
    local grain = 0
    if terms.limit > EXACT_LIMIT then
      grain = terms.first / 64
      grain = grain - grain % 1
    end
    local tail
    if at < w.opening + grain and open_newest(w) then
      tail = w.tail
      local size = #tail
      if at > tail[size - 1] then tail[size - 1] = at end
      tail[size] = tail[size] + n
    else
      tail = w.tail
      local size = #tail
      w.opening, tail[size + 1], tail[size + 2] = at, at, n
    end
    w.total = w.total + n
    shrink(w)
  end

  local function drop_old(w, terms, at)
    local time, tokens = oldest(w)
    while time and time + terms.first <= at do
      w.total = minus(w.total, tokens)
      drop_oldest(w)
      time, tokens = oldest(w)
    end
    if not time then
      w.opening, w.total, w.bytes, w.from, w.to, w.tail, w.first = 0, 0, '', 1, 1, {}, 1
    end
  end

  local function fold(w, terms, list, count)
    for i = 1, count, 2 do
      drop_old(w, terms, list[i])
      book(w, terms, list[i + 1], list[i])
    end
    drop_old(w, terms, now)
  end

  -- Brings entries after now back to it, as one.
  local function rebase(w)
    local newest = newest_time(w)
    if not newest or newest <= now then return false end
    open_all(w)
    local tail, sum = w.tail, 0
    while tail[1] and tail[#tail - 1] > now do
      sum = sum + tail[#tail]
      tail[#tail] = nil
      tail[#tail] = nil
    end
    tail[#tail + 1] = now
    tail[#tail + 1] = sum
    if w.opening > now then w.opening = now end
    return true
  end

  -- The running total now, expired holds booked and old entries left out.
  local function total_now(w, terms, list)
    local expired = list and holds.expired(list, now) or 0
    if expired > 0 then
      local folded = copy(w)
      fold(folded, terms, list, expired)
      return folded.total
    end
    local total, edge = w.total, now - terms.first
    local at, to = w.from, w.to
    while at < to do
      local time, tokens = unpack('<I8I8', w.bytes, at)
      if time > edge then return total > 0 and total or 0 end
      total, at = total - tokens, at + 16
    end
    local tail = w.tail
    for i = w.first, #tail, 2 do
      if tail[i] > edge then break end
      total = total - tail[i + 1]
    end
    return total > 0 and total or 0
  end

  local function state(c, terms)
    local w, list = c.window, c.holds
    local used, last = total_now(w, terms, list), newest_time(w) or 0
    if list then
      used = used + holds.held(list, now)
      local held_to = holds.last_end(list)
      if held_to > last then last = held_to end
    end
    return minus(terms.limit, used), last == 0 and 0 or last + terms.first
  end

  local function passes_at(c, terms, n)
    local w, list = c.window, c.holds
    local held = list and holds.held(list, now) or 0
    if total_now(w, terms, list) + held + n <= terms.limit then return now end
    local all, expired = copy(w), list and holds.expired(list, now) or 0
    fold(all, terms, list, expired)
    for i = expired + 1, list and #list or 0, 2 do book(all, terms, list[i + 1], list[i]) end
    local over = minus(all.total + n, terms.limit)
    local time, tokens = oldest(all)
    while time do
      over = minus(over, tokens)
      if over == 0 then return time + terms.first end
      drop_oldest(all)
      time, tokens = oldest(all)
    end
    return now
  end

  sliding = {
    new = new,
    book = book,
    fold = fold,
    rebase = rebase,
    passes_at = passes_at,
    state = state,
  }
end

