-- counters: { stored, tag, holds, and the fields of the ledger }; a fresh one has the tag of
-- concurrency, as no ledger is kept there

local function pack_pairs(list, first)
  if first > #list then return '' end
  if first + 1 == #list then return pack('<I8I8', list[first], list[first + 1]) end
  local out = {}
  for i = first, #list, 2 do out[#out + 1] = pack('<I8I8', list[i], list[i + 1]) end
  return table.concat(out)
end

-- Reads the bytes of a counter; false where this version cannot.
local function decode(raw)
  local tag, list, a, b, blocked, window = CONCURRENCY, nil, nil, nil, 0, nil
  local known = raw and raw ~= ''
  if known then
    local size = #raw
    if size < 2 or (size - 2) % 16 ~= 0 then return false end
    local head, count = string.byte(raw, 1, 2)
    local words = (size - 2) / 16 - count
    tag = head - 16
    if tag == SLIDING then
      if words < 1 or words > 257 then return false end
    elseif tag == BUCKET or tag == ALIGNED then
      if words ~= 1 then return false end
    elseif tag == PENALTY then
      if words ~= 2 or count > 0 then return false end
    elseif tag ~= CONCURRENCY or words ~= 0 then
      return false
    end
    local at = 3
    if count > 0 then
      if not holds then need('holds') end
      list = {}
      for i = 1, count * 2, 2 do list[i], list[i + 1], at = unpack('<I8I8', raw, at) end
    end
    if tag ~= CONCURRENCY then
      if tag ~= built then need(tag) end
      a, b, at = unpack('<I8I8', raw, at)
      if tag == SLIDING then
        window = { opening = a, total = b, bytes = raw, from = at, to = size + 1, tail = {},
          first = 1 }
      elseif tag == PENALTY then
        local rest
        blocked, rest = unpack('<I8I8', raw, at)
        if rest ~= 0 then return false end
      end
    end
  end
  -- With room for all its fields, so that the table never grows.
  return { stored = known, tag = tag, holds = list, window = window, anchor = a, taken = b,
    last = a, used = b, blocked = blocked, check = 0, asked = 0, dirty = false,
    fresh_ask = false, fresh_in = 0 }
end

-- The bytes of a counter; nil where it is empty.
local function encode(c)
  local tag, list, w = c.tag, c.holds, c.window
  local head = 16 + tag
  if not list then
    if tag == BUCKET then
      return c.taken > 0 and pack('<BBI8I8', head, 0, c.anchor, c.taken) or nil
    elseif tag == ALIGNED then
      return c.used > 0 and pack('<BBI8I8', head, 0, c.last, c.used) or nil
    elseif tag == PENALTY then
      return (c.used > 0 or c.blocked > 0)
        and pack('<BBI8I8I8I8', head, 0, c.last, c.used, c.blocked, 0) or nil
    elseif tag == CONCURRENCY or w.total == 0 then
      return nil
    end
    return pack('<BBI8I8', head, 0, w.opening, w.total)
      .. string.sub(w.bytes, w.from, w.to - 1) .. pack_pairs(w.tail, w.first)
  end
  local start = pack('<BB', head, #list / 2) .. pack_pairs(list, 1)
  if tag == BUCKET then return start .. pack('<I8I8', c.anchor, c.taken) end
  if tag == ALIGNED then return start .. pack('<I8I8', c.last, c.used) end
  if tag == CONCURRENCY then return start end
  return start .. pack('<I8I8', w.opening, w.total)
    .. string.sub(w.bytes, w.from, w.to - 1) .. pack_pairs(w.tail, w.first)
end

