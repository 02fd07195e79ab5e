-- reservations: a check that extends or ends one happens once. A record beside the counters tells
-- what happened: the ends that holds were moved to, or the answer that ended it. Its bytes are
-- the kind, from when on it counts for nothing, and the ends with their count before them, or the
-- answer without what it booked, as a repeat books nothing.

if part == 'once' and not once then
  local EXTENDED, ENDED = 17, 18
  local GRACE = 300000000 -- a reservation can be settled for this long after its end
  local records = {} -- by place in KEYS, each decoded once; false where it cannot be

  -- The answer of an ended one, in the form that only a check that passed has; else false.
  local function whole(answer)
    if #answer < 3 then return false end
    local allowed, count = unpack('<BI2', answer)
    if allowed ~= ALLOWED or #answer ~= 3 + count * 33 then return false end
    for i = 4, #answer, 33 do
      if string.byte(answer, i) > FITS + NEVER_FITS then return false end
    end
    return answer
  end

  local function decode(raw)
    if not raw then return nil end
    if #raw < 9 then return false end
    local kind, expiry, at = unpack('<BI8', raw)
    if expiry <= now then return nil end
    local record = { kind = kind, expiry = expiry }
    if kind == ENDED then
      record.answer = whole(string.sub(raw, at))
      return record.answer and record
    elseif kind ~= EXTENDED or #raw < at + 1 then
      return false
    end
    local count
    count, at = unpack('<I2', raw, at)
    if #raw ~= at + count * 8 - 1 then return false end
    for i = 1, count do record[i], at = unpack('<I8', raw, at) end
    return record
  end

  -- The record of this place; nil where there is none, false where it cannot be read.
  local function at_place(place)
    local record = records[place]
    if record == nil then
      record = decode(stored[place])
      records[place] = record
    end
    return record
  end

  local function refuse(asks)
    local never = pack('<BI8I8I8I8', NEVER_FITS, 0, 0, 0, 0)
    parts = parts + 1
    out[parts] = pack('<BI2', DENIED, #asks) .. string.rep(never, #asks)
  end

  local function any(asks, from, to)
    for i = 1, #asks do
      if asks[i].op >= from and asks[i].op <= to then return true end
    end
    return false
  end

  -- Points the asks at the ends that their holds have now, where there is a record. Answers the
  -- last end, -1 without one; nil where other asks were extended, or it comes too late.
  local function find_ends(asks, record)
    if record and #record ~= #asks then return nil end
    local last = -1
    for i = 1, #asks do
      local ask = asks[i]
      if ask.op >= EXTEND and ask.op <= SETTLE then
        if record then ask.hold_end = record[i] end
        if ask.hold_end > last then last = ask.hold_end end
      end
    end
    if last >= 0 and capped(last + GRACE) <= now then return nil end
    return last
  end

  -- Whether nothing was held and nothing is booked: a repeat changes nothing.
  local function idle(asks)
    for i = 1, #asks do
      local ask = asks[i]
      if ask.op < EXTEND or ask.op > SETTLE or ask.tokens > 0 then return false end
      if ask.op == SETTLE and ask.lasting > 0 then return false end
    end
    return true
  end

  local function extended(asks)
    local record, last = { kind = EXTENDED }, 0
    for i = 1, #asks do
      local ask = asks[i]
      local ends = ask.op == EXTEND and ask.hold_end or 0
      if ask.granted > ends then ends = ask.granted end
      record[i] = ends
      if ends > last then last = ends end
    end
    return record, last
  end

  -- The answer from this part of `out` on.
  local function answer_from(first)
    local answer = { out[first] }
    for i = first + 1, parts do
      local word = string.byte(out[i])
      answer[#answer + 1] = word >= BOOKED
        and string.char(word - BOOKED) .. string.sub(out[i], 2, 33) or out[i]
    end
    return table.concat(answer)
  end

  local function run(asks, number, place)
    local record = at_place(place)
    if record and record.kind == ENDED then
      if any(asks, EXTEND, EXTEND) then return refuse(asks) end
      parts = parts + 1
      out[parts] = record.answer
      return
    end
    local last, first = find_ends(asks, record), parts + 1
    if not last then return refuse(asks) end
    if not decide(asks, number) or idle(asks) then return end
    if any(asks, RELEASE, SETTLE) then
      record = { kind = ENDED, answer = answer_from(first) }
    elseif any(asks, EXTEND, EXTEND) then
      record, last = extended(asks)
    else
      return
    end
    record.expiry, record.dirty = capped((last > now and last or now) + 2 * GRACE), true
    records[place] = record
  end

  local function encode(record)
    local head = pack('<BI8', record.kind, record.expiry)
    if record.kind == ENDED then return head .. record.answer end
    local ends = {}
    for i = 1, #record do ends[i] = pack('<I8', record[i]) end
    return head .. pack('<I2', #record) .. table.concat(ends)
  end

  once = {
    at_place = at_place,
    encode = encode,
    records = records,
    run = run,
  }
end

