#!lua
-- The decision of the shared store: the twin of `limits::decide`, on packed input.
--
-- KEYS[1]  the generation key, then the distinct keys of counters and reservations
-- ARGV[1]  now in µs as '<I8', or empty: then the server's own clock
-- ARGV[2]  the latest start in µs as '<I8', or empty; a later start answers `late`
-- ARGV[3]  version, flags, number of checks, the checks (see packing.rs)
--
-- It reads everything, decides everything, then writes; nothing after the first write can fail.
-- Numbers are doubles, exact below 2^53: sums and products stay below by the rules of `limits`,
-- and `q - q % 1` is floor(q). Times are in µs.
--
-- A closure costs something in each call, the more the more locals are open that it captures. So
-- all else stands in one function (see SCRIPT), which captures the locals of this file once, and
-- the parts that not every call needs stand in `need`, which builds them when a call first needs
-- them.

local spread = unpack
local pack, unpack = struct.pack, struct.unpack
local LAST = 9007199254740991 -- 2^53 - 1, the largest instant, duration and amount
local MOST = 4503599627370496 -- 2^52, the most that a ledger counts
local BUCKET, SLIDING, ALIGNED, CONCURRENCY, PENALTY = 1, 2, 3, 4, 5
local LOOK, TAKE, HOLD, EXTEND, RELEASE, SETTLE, RESET, STRIKE = 0, 1, 2, 3, 4, 5, 6, 7
local NEVER = -1 -- a wait
local now, stored -- the instant of this call, and the bytes of KEYS
local holds, bucket, sliding, aligned, penalty, once -- the parts, once built
local need, built -- builds a part, and which was asked for last

local function capped(n) if n > LAST then return LAST end return n end

local function minus(a, b) if a > b then return a - b end return 0 end

