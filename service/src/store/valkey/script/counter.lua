-- counters: what is done to one, whatever its algorithm

-- Tokens left now, and how long until all are back if nobody takes.
local function state(c, terms)
  local left, full_at
  if c.tag ~= terms.tag or c.tag == CONCURRENCY then
    local holds = c.holds or {}
    left, full_at = minus(terms.limit, holds_held(holds, now)), holds_last_end(holds)
  elseif c.tag == BUCKET then
    left, full_at = bucket_state(c, terms)
  elseif c.tag == SLIDING then
    left, full_at = window_state(c, terms)
  else
    left, full_at = aligned_state(c, terms)
  end
  return left, minus(capped(full_at), now)
end

-- Takes `n` tokens now, whether they fit or not; the ledger is folded to now.
local function book(c, terms, n)
  if n == 0 then return end
  if c.tag == ALIGNED then
    c.used = aligned_book(c.used, n)
  elseif c.tag == BUCKET then
    c.anchor, c.taken = bucket_book(c.anchor, c.taken, terms, n, now)
  elseif c.tag == SLIDING then
    window_book(c.window, terms, n, now)
  end
end

-- Books every expired hold at its end, in order, and brings the ledger to now.
local function fold(c, terms)
  local expired = c.holds and holds_take_expired(c.holds) or {}
  if c.tag == BUCKET then
    c.anchor, c.taken = bucket_fold(c.anchor, c.taken, terms, expired, #expired)
  elseif c.tag == SLIDING then
    window_fold(c.window, terms, expired, #expired)
  elseif c.tag == ALIGNED then
    c.last, c.used = aligned_fold(c, terms, expired, #expired)
  end
end

-- Gives the ledger the form of the terms. What another algorithm counted is booked now.
local function convert(c, terms)
  local used = 0
  if c.tag == BUCKET then used = c.taken
  elseif c.tag == SLIDING then used = c.window.total
  elseif c.tag == ALIGNED then used = c.used end
  local changed = c.tag ~= CONCURRENCY or c.holds ~= nil
  c.tag, c.window = terms.tag, nil
  if c.tag == BUCKET then c.anchor, c.taken = now, 0
  elseif c.tag == SLIDING then c.window = window_new()
  elseif c.tag == ALIGNED then
    local _, last = aligned_current(terms)
    c.last, c.used = last, 0
  end
  book(c, terms, used)
  return changed
end

-- Makes the ledger one of the terms and no later than now: the only write that a denial makes.
local function rebase(c, terms)
  local changed = false
  if c.tag ~= terms.tag then changed = convert(c, terms) end
  if c.tag == BUCKET then
    local taken = bucket_cap(c.taken, terms)
    if c.anchor > now or taken ~= c.taken then
      c.anchor, c.taken, changed = c.anchor < now and c.anchor or now, taken, true
    end
  elseif c.tag == SLIDING then
    changed = window_rebase(c.window) or changed
  elseif c.tag == ALIGNED then
    changed = aligned_rebase(c, terms) or changed
  end
  if c.holds then changed = holds_cut(c.holds, capped(now + terms.horizon)) or changed end
  if changed then c.dirty, c.fresh_ask = true, terms end
end

-- The end of a hold that is asked for now: on the grid, and within an aligned window.
local function hold_end(terms)
  local at = capped(now + terms.lasting)
  if terms.quantum > 0 then
    local over = at % terms.quantum
    if over > 0 then at = capped(at + terms.quantum - over) end
  end
  if terms.tag == ALIGNED then
    local _, last = aligned_current(terms)
    if at > last then return last end
  end
  return at
end

-- Whether `n` tokens pass, and the wait until they would.
local function room(c, terms, n)
  if n > terms.limit or terms.limit == 0 then return false, NEVER end
  local at
  if c.tag == BUCKET then at = bucket_passes_at(c, terms, n)
  elseif c.tag == SLIDING then at = window_passes_at(c, terms, n)
  elseif c.tag == ALIGNED then at = aligned_passes_at(c, terms, n)
  else at = c.holds and holds_passes_at(c.holds, terms.limit, n) or now end
  if at <= now then return true, 0 end
  return false, capped(at) - now
end

-- Whether the operation would pass, and the wait until it would. A pure look.
local function mark(c, ask, n)
  local op, holds = ask.op, c.holds or {}
  if op == LOOK or op == TAKE then return room(c, ask, n) end
  if op == HOLD then
    local fits, wait = room(c, ask, n)
    if fits and n > 0 and not holds_takes_end(holds, hold_end(ask)) then
      return false, holds_first_wait(holds)
    end
    return fits, wait
  elseif op == EXTEND and n > 0 then
    if holds_at(holds, ask.hold_end) < n or ask.hold_end <= now then return false, NEVER end
    local later = hold_end(ask)
    if later > ask.hold_end and not holds_takes_end(holds, later) then
      return false, holds_first_wait(holds)
    end
  end
  return true, 0
end

-- Carries the operation out. Answers the end of the hold that was granted or extended, else 0.
local function apply(c, ask)
  local op, n = ask.op, ask.tokens
  if op == LOOK or (n == 0 and op ~= SETTLE and op ~= RESET) then return 0 end
  fold(c, ask)
  local granted = 0
  if op == TAKE then
    book(c, ask, n)
  elseif op == HOLD then
    granted = hold_end(ask)
    c.holds = c.holds or {}
    holds_add(c.holds, granted, n)
  elseif op == EXTEND then
    granted = hold_end(ask)
    if granted < ask.hold_end then granted = ask.hold_end end
    c.holds = c.holds or {}
    holds_add(c.holds, granted, holds_remove(c.holds, ask.hold_end, n))
  elseif op == RELEASE then
    if c.holds then holds_remove(c.holds, ask.hold_end, n) end
  elseif op == SETTLE then
    if ask.hold_end > now then
      if c.holds then holds_remove(c.holds, ask.hold_end, ask.held) end
      book(c, ask, n)
    else
      book(c, ask, minus(n, ask.held))
    end
  elseif op == RESET then
    c.tag, c.holds, c.window = CONCURRENCY, nil, nil
  end
  if c.holds and #c.holds == 0 then c.holds = nil end
  c.dirty, c.fresh_ask = true, ask
  return granted
end

