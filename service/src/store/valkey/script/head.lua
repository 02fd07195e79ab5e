#!lua
-- The decision of the shared store: the twin of `limits::decide`, on packed input.
--
-- KEYS[1]  the generation key, then the distinct counter keys
-- ARGV[1]  now in µs as '<I8', or empty: then the server's own clock
-- ARGV[2]  the latest start in µs as '<I8', or empty; a later start answers `late`
-- ARGV[3]  version, flags, number of checks, the checks (see packing.rs)
--
-- It reads everything, decides everything, then writes; nothing after the first write can fail.
-- Numbers are doubles, exact below 2^53: sums and products stay below by the rules of `limits`,
-- and `q - q % 1` is floor(q). Times are in µs.

local spread = unpack
local pack, unpack, byte, sub = struct.pack, struct.unpack, string.byte, string.sub
local ceil = math.ceil

local VERSION, MSETEX = 1, 1
local OK, LATE = 0, 1
local DENIED, ALLOWED, STALE, BAD = 0, 1, 2, 3
local BUCKET, SLIDING, ALIGNED, CONCURRENCY = 1, 2, 3, 4
local LOOK, TAKE, HOLD, EXTEND, RELEASE, SETTLE, RESET = 0, 1, 2, 3, 4, 5, 6
local NEVER = -1 -- a wait
local LAST = 9007199254740991 -- 2^53 - 1, the largest instant, duration and amount
local MOST = 4503599627370496 -- 2^52, the most that a ledger counts
local LONGEST_REFILL = 100 * 366 * 86400 * 1000000
local EXACT_LIMIT, MOST_ENTRIES, MOST_SUMS = 64, 256, 255
local DAY_SECONDS = 86400
local MOST_KEYS_PER_WRITE = 1000

local now

local function capped(n) if n > LAST then return LAST end return n end

local function minus(a, b) if a > b then return a - b end return 0 end

