-- counters: what is done to one, whatever its algorithm

-- Tokens left now, and how long until all are back if nobody takes.
local function state(c, terms)
  local tag = c.tag
  local left, full_at
  if tag ~= terms.tag or tag == CONCURRENCY then
    local list = c.holds
    if not list then return terms.limit, 0 end
    left, full_at = minus(terms.limit, holds.held(list, now)), holds.last_end(list)
  elseif tag == BUCKET then left, full_at = bucket.state(c, terms)
  elseif tag == SLIDING then left, full_at = sliding.state(c, terms)
  elseif tag == ALIGNED then left, full_at = aligned.state(c, terms)
  else left, full_at = penalty.state(c, terms) end
  return left, minus(capped(full_at), now)
end

-- Takes `n` tokens now, whether they fit or not; the ledger is folded to now.
local function book(c, terms, n)
  if n == 0 then return end
  if c.tag == BUCKET then
    c.anchor, c.taken = bucket.book(c.anchor, c.taken, terms, n, now)
  elseif c.tag == SLIDING then
    sliding.book(c.window, terms, n, now)
  elseif c.tag == ALIGNED then
    c.used = aligned.book(c.used, n)
  end
end

-- Books every expired hold at its end, in order, and brings the ledger to now.
local function fold(c, terms)
  local expired = c.holds and holds.take_expired(c.holds)
  local count = expired and #expired or 0
  if c.tag == BUCKET then
    c.anchor, c.taken = bucket.fold(c.anchor, c.taken, terms, expired, count)
  elseif c.tag == SLIDING then
    sliding.fold(c.window, terms, expired, count)
  elseif c.tag == ALIGNED then
    c.last, c.used = aligned.fold(c, terms, expired, count)
  end
end

-- Gives the ledger the form of the terms. What another algorithm counted is booked now; a penalty
-- neither takes over tokens nor holds, nor leaves any. Answers whether there was anything.
local function convert(c, terms)
  local used = 0
  if c.tag == BUCKET then used = c.taken
  elseif c.tag == SLIDING then used = c.window.total
  elseif c.tag == ALIGNED then used = c.used end
  local changed = c.tag ~= CONCURRENCY or c.holds ~= nil
  c.tag, c.window = terms.tag, nil
  if c.tag == BUCKET then c.anchor, c.taken = now, 0
  elseif c.tag == SLIDING then c.window = sliding.new()
  elseif c.tag == ALIGNED then
    local _, last = aligned.current(terms)
    c.last, c.used = last, 0
  elseif c.tag == PENALTY then
    c.last, c.used, c.blocked, c.holds = 0, 0, 0, nil
  end
  book(c, terms, used)
  return changed
end

-- Makes the ledger one of the terms and no later than now: the only write that a denial makes.
local function rebase(c, terms)
  local changed = c.tag ~= terms.tag and convert(c, terms)
  if c.tag == BUCKET then
    local taken = c.taken
    if taken > terms.limit then taken = bucket.cap(taken, terms) end
    if c.anchor > now or taken ~= c.taken then
      c.anchor, c.taken, changed = c.anchor < now and c.anchor or now, taken, true
    end
  elseif c.tag == SLIDING then
    changed = sliding.rebase(c.window) or changed
  elseif c.tag == ALIGNED then
    changed = aligned.rebase(c, terms) or changed
  elseif c.tag == PENALTY then
    changed = penalty.rebase(c, terms) or changed
  end
  if c.holds then changed = holds.cut(c.holds, capped(now + terms.horizon)) or changed end
  if changed then c.dirty, c.fresh_ask = true, terms end
end

-- Whether `n` tokens pass, and the wait until they would.
local function room(c, terms, n)
  if n > terms.limit or terms.limit == 0 then return false, NEVER end
  local at = now
  if c.tag == BUCKET then at = bucket.passes_at(c, terms, n)
  elseif c.tag == SLIDING then at = sliding.passes_at(c, terms, n)
  elseif c.tag == ALIGNED then at = aligned.passes_at(c, terms, n)
  elseif c.holds then at = holds.passes_at(c.holds, terms.limit, n) end
  if at <= now then return true, 0 end
  return false, capped(at) - now
end

-- Whether the operation would pass, and the wait until it would. A pure look.
local function mark(c, ask, n)
  local op = ask.op
  if ask.tag == PENALTY and op ~= RESET then return penalty.mark(c) end
  if op == LOOK or op == TAKE then return room(c, ask, n) end
  if op == HOLD then
    local fits, wait = room(c, ask, n)
    if fits and n > 0 and c.holds and not holds.takes_end(c.holds, holds.new_end(ask)) then
      return false, holds.first_wait(c.holds)
    end
    return fits, wait
  elseif op == EXTEND and n > 0 then
    local list = c.holds or {}
    if holds.held_until(list, ask.hold_end) < n or ask.hold_end <= now then
      return false, NEVER
    end
    local later = holds.new_end(ask)
    if later > ask.hold_end and not holds.takes_end(list, later) then
      return false, holds.first_wait(list)
    end
  end
  return true, 0
end

-- Carries the operation out. Answers the end of the hold that was granted or extended, else 0.
local function apply(c, ask)
  local op, n, granted = ask.op, ask.tokens, 0
  if op ~= RESET then
    if op == LOOK or op == STRIKE or ask.tag == PENALTY then return 0 end
    if n == 0 and op ~= SETTLE then return 0 end
  end
  fold(c, ask)
  if op == TAKE then book(c, ask, n)
  elseif op == RESET then c.tag, c.holds, c.window = CONCURRENCY, nil, nil
  else granted = holds.apply(c, ask) end
  if c.holds and #c.holds == 0 then c.holds = nil end
  c.dirty, c.fresh_ask = true, ask
  return granted
end

