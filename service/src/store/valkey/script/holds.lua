-- holds: a flat list {end, tokens, end, tokens, ..}, ascending by end; nil where there are none

if part == 'holds' and not holds then
  local MOST_SUMS = 255

  -- How many slots of the list are expired at `at`.
  local function expired(list, at)
    local i = 0
    while i < #list and list[i + 1] <= at do i = i + 2 end
    return i
  end

  local function held(list, at)
    local sum = 0
    for i = expired(list, at) + 1, #list, 2 do sum = capped(sum + list[i + 1]) end
    return sum
  end

  local function held_until(list, at_end)
    for i = 1, #list, 2 do
      if list[i] == at_end then return list[i + 1] end
    end
    return 0
  end

  local function last_end(list) return list[#list - 1] or 0 end

  -- Whether a sum with this end exists or may be opened.
  local function takes_end(list, at_end)
    local expired = expired(list, now)
    return (#list - expired) / 2 < MOST_SUMS or (at_end > now and held_until(list, at_end) > 0)
  end

  local function add(list, at_end, tokens)
    if tokens == 0 then return end
    local i = 1
    while i < #list and list[i] < at_end do i = i + 2 end
    if list[i] == at_end then
      list[i + 1] = list[i + 1] + tokens
    else
      table.insert(list, i, tokens)
      table.insert(list, i, at_end)
    end
  end

  -- Gives back up to `tokens` of the sum that ends at `at_end`; answers how many.
  local function remove(list, at_end, tokens)
    for i = 1, #list, 2 do
      if list[i] == at_end then
        local removed = tokens < list[i + 1] and tokens or list[i + 1]
        list[i + 1] = list[i + 1] - removed
        if list[i + 1] == 0 then
          table.remove(list, i)
          table.remove(list, i)
        end
        return removed
      end
    end
    return 0
  end

  local function take_expired(list)
    local count, taken = expired(list, now), {}
    for i = 1, count do taken[i] = list[i] end
    local size = #list
    for i = 1, size do list[i] = list[i + count] end
    return taken
  end

  -- Brings every end after `latest` back to it. Answers whether there was one.
  local function cut(list, latest)
    local sum, cut = 0, false
    while #list > 0 and list[#list - 1] > latest do
      sum, cut = capped(sum + list[#list]), true
      list[#list] = nil
      list[#list] = nil
    end
    add(list, latest, sum)
    return cut
  end

  -- When `n` more tokens fit beside the list, where nothing is booked at an end.
  local function passes_at(list, limit, n)
    local held, at = held(list, now), now
    for i = expired(list, now) + 1, #list, 2 do
      if held + n <= limit then break end
      held, at = minus(held, list[i + 1]), list[i]
    end
    return at
  end

  local function first_wait(list)
    local i = expired(list, now) + 1
    return list[i] and list[i] - now or NEVER
  end

  -- The end of a hold that is asked for now: on the grid, and within an aligned window.
  local function new_end(terms)
    local at = capped(now + terms.lasting)
    if terms.quantum > 0 then
      local over = at % terms.quantum
      if over > 0 then at = capped(at + terms.quantum - over) end
    end
    if terms.tag == ALIGNED then
      local _, last = aligned.current(terms)
      if at > last then return last end
    end
    return at
  end

  -- What is done to the holds. Answers the end of the hold that was granted or extended, else 0.
  local function apply(c, ask)
    local op, n, list, granted = ask.op, ask.tokens, c.holds or {}, 0
    if op == HOLD then
      granted = new_end(ask)
      add(list, granted, n)
    elseif op == EXTEND then
      granted = new_end(ask)
      if granted < ask.hold_end then granted = ask.hold_end end
      add(list, granted, remove(list, ask.hold_end, n))
    elseif op == RELEASE then
      remove(list, ask.hold_end, n)
    elseif op == SETTLE then
      if ask.hold_end > now then remove(list, ask.hold_end, ask.lasting)
      else n = minus(n, ask.lasting) end
      book(c, ask, n)
    end
    c.holds = list
    return granted
  end

  holds = {
    apply = apply,
    new_end = new_end,
    expired = expired,
    held = held,
    held_until = held_until,
    last_end = last_end,
    takes_end = takes_end,
    add = add,
    remove = remove,
    take_expired = take_expired,
    cut = cut,
    passes_at = passes_at,
    first_wait = first_wait,
  }
end

