"""The Lua scripts of moves. They do what `crudjt._core.moves` says of stages, and of marks.

Nothing but these scripts looks at a stage, and what they do to a session and its index is what the commit script does.
"""

from crudjt._backends.valkey.requests import Script

STAGED, USED, LATER = 1, 2, 3  # replies of `STAGE`
USED_MS = 86_400_000
"""How long a used stage is kept, in milliseconds: no request of a mover may be on its way for longer."""

STAGE = Script("""\
-- Keep a copy of a record that no reader sees, unless it is in use already or of a mover of a later epoch.
-- KEYS[1] the stage. ARGV: epoch (8 bytes, big-endian), record, px ('' = none).
-- A stage is the epoch and the record; the epoch alone once it was used.
local function number(bytes)
  local sum = 0
  for i = 1, 8 do sum = sum * 256 + string.byte(bytes, i) end
  return sum
end
local size = redis.call('STRLEN', KEYS[1])
if size == 8 then return 2 end
if size > 8 and number(redis.call('GETRANGE', KEYS[1], 0, 7)) > number(ARGV[1]) then return 3 end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2])
else redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3]) end
return 1
""")

PUBLISH = Script("""\
-- Make the record of a stage the session, once.
-- KEYS[1] the stage; KEYS[2] the session; KEYS[3] its index, or the session's key again where it has no subject.
-- ARGV: now in ms, px of the session ('' = none), score, id, px of the used stage.
local now, session, index = tonumber(ARGV[1]), KEYS[2], KEYS[3]
local function whole(x) return string.format('%.0f', x) end
local staged = redis.call('GET', KEYS[1]) or string.rep('\\0', 8)
redis.call('UNLINK', KEYS[1])                   -- first: a full memory does not stop what follows
if #staged > 8 and redis.call('STRLEN', session) == 0 then
  local record = string.sub(staged, 9)
  if ARGV[2] == '' then redis.call('SET', session, record) else redis.call('SET', session, record, 'PX', ARGV[2]) end
  if index ~= session then
    redis.call('ZADD', index, ARGV[3], ARGV[4])
    local last = redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')[2]
    if last == 'inf' then redis.call('PERSIST', index)
    else redis.call('PEXPIRE', index, whole(math.max(1, last - now + 10000))) end
  end
end
-- Written also where it was used before: so a WAIT covers the publication of another connection.
redis.call('SET', KEYS[1], string.sub(staged, 1, 8), 'PX', ARGV[5])
return #staged > 8 and 1 or 0
""")

CHANGED, MARKED = 1, 2  # replies of `MARK`; 0 to a mover of an old epoch

RAISE = Script("""\
-- Raise the epochs of places to that of a mover; later ones stay. From the first on, no record is inserted there.
-- KEYS: the epochs. ARGV[1] the epoch, in decimal.
for i = 1, #KEYS do
  if tonumber(redis.call('GET', KEYS[i]) or 0) < tonumber(ARGV[1]) then redis.call('SET', KEYS[i], ARGV[1]) end
end
return #KEYS
""")

MARK = Script("""\
-- Replace a record by a mark, if it is as it was staged, and the mover is the newest. The index goes on naming it.
-- KEYS: session, epoch of its place. ARGV: epoch, nonce of the record, mark, px ('' = none).
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
local nonce = redis.call('GETRANGE', KEYS[1], 64, 87)
-- One of zeros: a reply was lost. No other mover can have marked it since the record was looked at.
if nonce ~= ARGV[2] and nonce ~= string.rep('\\0', 24) then return 1 end
redis.call('UNLINK', KEYS[1])                   -- first: a full memory does not stop what follows
if ARGV[4] == '' then redis.call('SET', KEYS[1], ARGV[3])
else redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) end
return 2
""")
