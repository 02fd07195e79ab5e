-- counters: { stored, tag, holds, and the fields of the ledger }; a fresh one has the tag of
-- concurrency, as no ledger is kept there

-- Reads the bytes of a counter; nil where this version cannot.
local function decode(raw)
  if not raw or raw == '' then return { tag = CONCURRENCY } end
  local size = #raw
  if size < 2 or (size - 2) % 16 ~= 0 then return nil end
  local head, count = byte(raw, 1, 2)
  local tag, ledger = head - 16, (size - 2) / 16 - count
  local c = { stored = true, tag = tag }
  if tag == SLIDING then
    if ledger < 1 or ledger > MOST_ENTRIES + 1 then return nil end
  elseif tag == BUCKET or tag == ALIGNED then
    if ledger ~= 1 then return nil end
  elseif tag ~= CONCURRENCY or ledger ~= 0 then
    return nil
  end
  local at = 3
  if count > 0 then
    c.holds = {}
    for i = 1, count * 2, 2 do c.holds[i], c.holds[i + 1], at = unpack('<I8I8', raw, at) end
  end
  if tag == BUCKET then
    c.anchor, c.taken = unpack('<I8I8', raw, at)
  elseif tag == ALIGNED then
    c.last, c.used = unpack('<I8I8', raw, at)
  elseif tag == SLIDING then
    local opening, total, from = unpack('<I8I8', raw, at)
    c.window = { opening = opening, total = total, bytes = raw, from = from, to = size + 1,
      tail = {}, first = 1 }
  end
  return c
end

local function pack_pairs(list, first)
  local out = {}
  for i = first, #list, 2 do out[#out + 1] = pack('<I8I8', list[i], list[i + 1]) end
  return table.concat(out)
end

-- The bytes of a counter; nil where it is empty.
local function encode(c)
  local tag, holds, w = c.tag, c.holds, c.window
  local head = 16 + tag
  if not holds then
    if tag == BUCKET then
      return c.taken > 0 and pack('<BBI8I8', head, 0, c.anchor, c.taken) or nil
    elseif tag == ALIGNED then
      return c.used > 0 and pack('<BBI8I8', head, 0, c.last, c.used) or nil
    elseif tag == CONCURRENCY or w.total == 0 then
      return nil
    end
  end
  local start = pack('<BB', head, holds and #holds / 2 or 0)
  if holds then start = start .. pack_pairs(holds, 1) end
  if tag == BUCKET then return start .. pack('<I8I8', c.anchor, c.taken) end
  if tag == ALIGNED then return start .. pack('<I8I8', c.last, c.used) end
  if tag == CONCURRENCY then return start end
  return start .. pack('<I8I8', w.opening, w.total) .. sub(w.bytes, w.from, w.to - 1)
    .. pack_pairs(w.tail, w.first)
end

