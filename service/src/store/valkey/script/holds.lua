-- holds: a flat list {end, tokens, end, tokens, ..}, ascending by end; nil where there are none

-- How many slots of the list are expired at `at`.
local function holds_expired(holds, at)
  local i = 0
  while i < #holds and holds[i + 1] <= at do i = i + 2 end
  return i
end

local function holds_held(holds, at)
  local sum = 0
  for i = holds_expired(holds, at) + 1, #holds, 2 do sum = capped(sum + holds[i + 1]) end
  return sum
end

local function holds_at(holds, at_end)
  for i = 1, #holds, 2 do
    if holds[i] == at_end then return holds[i + 1] end
  end
  return 0
end

local function holds_last_end(holds) return holds[#holds - 1] or 0 end

-- Whether a sum with this end exists or may be opened.
local function holds_takes_end(holds, at_end)
  local expired = holds_expired(holds, now)
  return (#holds - expired) / 2 < MOST_SUMS or (at_end > now and holds_at(holds, at_end) > 0)
end

local function holds_add(holds, at_end, tokens)
  if tokens == 0 then return end
  local i = 1
  while i < #holds and holds[i] < at_end do i = i + 2 end
  if holds[i] == at_end then
    holds[i + 1] = holds[i + 1] + tokens
  else
    table.insert(holds, i, tokens)
    table.insert(holds, i, at_end)
  end
end

-- Gives back up to `tokens` of the sum that ends at `at_end`; answers how many.
local function holds_remove(holds, at_end, tokens)
  for i = 1, #holds, 2 do
    if holds[i] == at_end then
      local removed = tokens < holds[i + 1] and tokens or holds[i + 1]
      holds[i + 1] = holds[i + 1] - removed
      if holds[i + 1] == 0 then
        table.remove(holds, i)
        table.remove(holds, i)
      end
      return removed
    end
  end
  return 0
end

local function holds_take_expired(holds)
  local count, taken = holds_expired(holds, now), {}
  for i = 1, count do taken[i] = holds[i] end
  local size = #holds
  for i = 1, size do holds[i] = holds[i + count] end
  return taken
end

-- Brings every end after `latest` back to it. Answers whether there was one.
local function holds_cut(holds, latest)
  local sum, cut = 0, false
  while #holds > 0 and holds[#holds - 1] > latest do
    sum, cut = capped(sum + holds[#holds]), true
    holds[#holds] = nil
    holds[#holds] = nil
  end
  holds_add(holds, latest, sum)
  return cut
end

-- When `n` more tokens fit beside the holds, where nothing is booked at an end.
local function holds_passes_at(holds, limit, n)
  local held, at = holds_held(holds, now), now
  for i = holds_expired(holds, now) + 1, #holds, 2 do
    if held + n <= limit then break end
    held, at = minus(held, holds[i + 1]), holds[i]
  end
  return at
end

local function holds_first_wait(holds)
  local i = holds_expired(holds, now) + 1
  return holds[i] and holds[i] - now or NEVER
end

