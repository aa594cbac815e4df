"""The Lua scripts. Each names all of its keys, which share a slot, and is atomic there."""

from crudjt._backends.valkey.requests import Script

FIELDS = 6
"""Arguments of `COMMIT` for each change."""

COMMIT = Script("""\
-- Commit changes that a decision has made, or none of them if what it read has changed.
-- KEYS[2i-1] a session; KEYS[2i] its index, or the session's key again where it has no subject.
-- The last of an odd number of KEYS, where a record is inserted: the epoch of the place, which forbids it.
-- ARGV[1] now in ms; ARGV[2] '1' = sent before, and the answer was lost. Then six for each change:
-- kind, nonce it rests on ('' = absent), record, px ('' = none), score, id.
-- Kinds: I insert, R replace, D delete what was read, X end whatever is there; C changes nothing, and both its keys are
-- an index: nothing is committed unless its ids have the SHA-1 in place of the nonce.
-- Each sealing draws a new nonce, so equal nonces mean equal records, and an old one never comes back.
-- A mark, which a move leaves, has a nonce of zeros: X does not end it.
local now, again, n, found, touched = tonumber(ARGV[1]), ARGV[2] == '1', math.floor(#KEYS / 2), {}, {}
if #KEYS > 2 * n and not again and redis.call('GETRANGE', KEYS[#KEYS], 0, 0) ~= '' then return {0, false} end
local function whole(x) return string.format('%.0f', x) end
for i = 1, n do                                              -- look at everything
  local a, key = 6 * i - 3, KEYS[2 * i - 1]
  local kind, nonce = ARGV[a], ARGV[a] == 'C' or redis.call('GETRANGE', key, 64, 87)
  if kind == 'C' then
    local ids = table.concat(redis.call('ZRANGE', key, 0, -1))
    if not again and redis.sha1hex(ids) ~= ARGV[a + 1] then return {i, false} end
  elseif again then                                          -- a nonce of this very commit: it was carried out, whole
    if (kind == 'I' or kind == 'R') and nonce ~= string.sub(ARGV[a + 2], 65, 88) then return {i, false} end
  elseif (kind ~= 'X' and nonce ~= ARGV[a + 1]) or (kind == 'X' and nonce == string.rep('\\0', 24)) then
    return {i, redis.call('GET', key)}                       -- conflict: here is what is there now
  end
  found[i] = nonce == '' and '0' or '1'
end
for i = 1, n do                                              -- endings first: a full memory does not stop them
  local a, key, index = 6 * i - 3, KEYS[2 * i - 1], KEYS[2 * i]
  if ARGV[a] == 'D' or ARGV[a] == 'X' then                   -- where nothing is left to end, write all the same: so
    if redis.call('UNLINK', key) == 0 then                   -- a WAIT covers the ending of another connection
      redis.call('SET', key, ''); redis.call('UNLINK', key)
    end
    if index ~= key then redis.call('ZREM', index, ARGV[a + 5]); touched[index] = true end
  end
end
for i = 1, n do
  local a, key, index = 6 * i - 3, KEYS[2 * i - 1], KEYS[2 * i]
  if ARGV[a] == 'I' or ARGV[a] == 'R' then
    if ARGV[a + 3] == '' then redis.call('SET', key, ARGV[a + 2])
    else redis.call('SET', key, ARGV[a + 2], 'PX', ARGV[a + 3]) end
    if index ~= key then
      redis.call('ZADD', index, ARGV[a + 4], ARGV[a + 5])
      if ARGV[a] == 'I' and not touched[index] then
        redis.call('ZREMRANGEBYSCORE', index, '-inf', whole(now - 60000))
      end
      touched[index] = true
    end
  end
end
for index in pairs(touched) do                               -- an index ends with its last session
  local last = redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')[2]
  if last == 'inf' then redis.call('PERSIST', index)
  elseif last then redis.call('PEXPIRE', index, whole(math.max(1, last - now + 10000))) end
end
return table.concat(found)                                   -- for each change: was there a record?
""")

REPLACE_ONE = Script("""\
-- Do what `COMMIT` does where it replaces one session whose deadline stays, so that no index changes.
-- KEYS[1] the session. ARGV: nonce it rests on, record; px where it expires.
if redis.call('GETRANGE', KEYS[1], 64, 87) ~= ARGV[1] then return {1, redis.call('GET', KEYS[1])} end
if ARGV[3] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) else redis.call('SET', KEYS[1], ARGV[2]) end
return '1'
""")
"""Nearly all updates and counted reads; it takes the server and the client half of the time of `COMMIT`."""

INSERT_ONE = Script("""\
-- Do what `COMMIT` does where it inserts one session that has no subject.
-- KEYS: the session; the epoch of its place. ARGV: record; px where it expires.
if redis.call('GETRANGE', KEYS[2], 0, 0) ~= '' then return {0, false} end
local inserted
if ARGV[2] then inserted = redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX')
else inserted = redis.call('SET', KEYS[1], ARGV[1], 'NX') end
if not inserted then return {1, redis.call('GET', KEYS[1])} end
return '0'
""")

FILE = Script("""\
-- File a session under a label, before its record is there or its deadline moves.
-- KEYS[1] the index of the label. ARGV: now in ms, score, id.
-- An entry never ends before its session: a lower score does not replace a higher one.
local function whole(x) return string.format('%.0f', x) end
local key, now, before = KEYS[1], tonumber(ARGV[1]), redis.call('ZSCORE', KEYS[1], ARGV[3])
if not before or (before ~= 'inf' and (ARGV[2] == '+inf' or tonumber(before) < tonumber(ARGV[2]))) then
  redis.call('ZADD', key, ARGV[2], ARGV[3])
end
redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now - 60000))
local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
if last == 'inf' then redis.call('PERSIST', key)
elseif last then redis.call('PEXPIRE', key, whole(math.max(1, last - now + 10000))) end
return 1
""")

END = Script("""\
-- Do what `COMMIT` does where it ends sessions of one subject, or of none, whatever is there.
-- KEYS: the index, or the first session again where there is no subject; the sessions. ARGV: now in ms.
local index, found, there, ids = KEYS[1], {}, {}, {}
for i = 2, #KEYS do
  local key = KEYS[i]
  local nonce = redis.call('GETRANGE', key, 64, 87)
  if nonce == string.rep('\\0', 24) then return {i - 1, redis.call('GET', key)} end
  if nonce ~= '' then there[#there + 1] = key end
  found[i - 1], ids[i - 1] = nonce == '' and '0' or '1', string.sub(key, -16)
end
if #there > 0 then redis.call('UNLINK', unpack(there)) end
for i = 2, #KEYS do                                          -- where nothing is left to end, write all the same
  local key = KEYS[i]
  if found[i - 1] == '0' and redis.call('UNLINK', key) == 0 then
    redis.call('SET', key, ''); redis.call('UNLINK', key)
  end
end
if index ~= KEYS[2] then
  redis.call('ZREM', index, unpack(ids))
  local last = redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')[2]
  if last == 'inf' then redis.call('PERSIST', index)
  elseif last then redis.call('PEXPIRE', index, string.format('%.0f', math.max(1, last - ARGV[1] + 10000))) end
end
return table.concat(found)
""")
"""Deletes and revocations; for a hundred sessions it has an eighth of the words that `COMMIT` would have."""

LOOK = Script("""\
-- Return the first bytes of a session, its score in an index and how long the index lives, as of one time.
-- KEYS: session, index. ARGV: id.
return {
  redis.call('GETRANGE', KEYS[1], 0, 87), redis.call('ZSCORE', KEYS[2], ARGV[1]), redis.call('PTTL', KEYS[2])
}
""")

EXCHANGE = Script("""\
-- Replace a value that is still as it was read, and return whether it was. KEYS[1]; ARGV: as read, new.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
""")
