-- sliding window: `opening`, `total` and the entries, oldest first. Entries that nothing has
-- touched stay packed, in bytes[from, to); newer ones follow in `tail`, flat, from `first` on.

local function window_new()
  return { opening = 0, total = 0, bytes = '', from = 1, to = 1, tail = {}, first = 1 }
end

local function window_copy(w)
  local tail = {}
  for i = w.first, #w.tail do tail[#tail + 1] = w.tail[i] end
  return { opening = w.opening, total = w.total, bytes = w.bytes, from = w.from, to = w.to,
    tail = tail, first = 1 }
end

local function window_oldest(w)
  if w.from < w.to then
    local time, tokens = unpack('<I8I8', w.bytes, w.from)
    return time, tokens
  end
  return w.tail[w.first], w.tail[w.first + 1]
end

local function window_newest_time(w)
  if w.first < #w.tail then return w.tail[#w.tail - 1] end
  if w.from < w.to then return (unpack('<I8', w.bytes, w.to - 16)) end
  return nil
end

local function window_drop_oldest(w)
  if w.from < w.to then w.from = w.from + 16 else w.first = w.first + 2 end
end

-- Unpacks entries from the newest on until the newest is in the tail. Answers whether it is.
local function window_open_newest(w)
  if w.first < #w.tail then return true end
  if w.from >= w.to then return false end
  w.to = w.to - 16
  local time, tokens = unpack('<I8I8', w.bytes, w.to)
  w.tail, w.first = { time, tokens }, 1
  return true
end

-- Unpacks every entry into the tail.
local function window_open_all(w)
  local tail = {}
  for at = w.from, w.to - 16, 16 do
    local n = #tail
    tail[n + 1], tail[n + 2] = unpack('<I8I8', w.bytes, at)
  end
  for i = w.first, #w.tail do tail[#tail + 1] = w.tail[i] end
  w.tail, w.first, w.from, w.to = tail, 1, 1, 1
end

-- Keeps the total at most 2^52 and the entries at most 256.
local function window_shrink(w)
  local count = (w.to - w.from) / 16 + (#w.tail - w.first + 1) / 2
  if w.total <= MOST and count <= MOST_ENTRIES then return end
  window_open_all(w)
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
local function window_book(w, terms, n, at)
  local grain = 0
  if terms.limit > EXACT_LIMIT then
    grain = terms.window / 64
    grain = grain - grain % 1
  end
  local tail
  if at < w.opening + grain and window_open_newest(w) then
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
  window_shrink(w)
end

local function window_drop_old(w, terms, at)
  local time, tokens = window_oldest(w)
  while time and time + terms.window <= at do
    w.total = minus(w.total, tokens)
    window_drop_oldest(w)
    time, tokens = window_oldest(w)
  end
  if not time then
    w.opening, w.total, w.bytes, w.from, w.to, w.tail, w.first = 0, 0, '', 1, 1, {}, 1
  end
end

local function window_fold(w, terms, holds, count)
  for i = 1, count, 2 do
    window_drop_old(w, terms, holds[i])
    window_book(w, terms, holds[i + 1], holds[i])
  end
  window_drop_old(w, terms, now)
end

-- Brings entries after now back to it, as one.
local function window_rebase(w)
  local newest = window_newest_time(w)
  if not newest or newest <= now then return false end
  window_open_all(w)
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
local function window_total(w, terms, holds)
  local expired = holds_expired(holds, now)
  if expired > 0 then
    local folded = window_copy(w)
    window_fold(folded, terms, holds, expired)
    return folded.total
  end
  local total, edge = w.total, now - terms.window
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

local function window_state(c, terms)
  local w, holds = c.window, c.holds or {}
  local left = minus(terms.limit, window_total(w, terms, holds) + holds_held(holds, now))
  local last, held_to = window_newest_time(w) or 0, holds_last_end(holds)
  if held_to > last then last = held_to end
  return left, last == 0 and 0 or last + terms.window
end

local function window_passes_at(c, terms, n)
  local w, holds = c.window, c.holds or {}
  local held = holds_held(holds, now)
  if window_total(w, terms, holds) + held + n <= terms.limit then return now end
  local all, expired = window_copy(w), holds_expired(holds, now)
  window_fold(all, terms, holds, expired)
  for i = expired + 1, #holds, 2 do window_book(all, terms, holds[i + 1], holds[i]) end
  local over = minus(all.total + n, terms.limit)
  local time, tokens = window_oldest(all)
  while time do
    over = minus(over, tokens)
    if over == 0 then return time + terms.window end
    window_drop_oldest(all)
    time, tokens = window_oldest(all)
  end
  return now
end

