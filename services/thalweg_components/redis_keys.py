"""Writes records to a Redis server, once each; loads redis-py."""

from __future__ import annotations

from typing import Any

import redis

from thalweg import Context, Place, RecordError, Secret
from thalweg.errors import FencedOutError
from thalweg_components.redis_connection import greet, make_client, name_of, told

PLACES = "thalweg:places"
_FENCED = "fenced out"

# Redis runs a script as one step, so what it writes, the fence and the places are together. KEYS: the hash of the places, those of retired
# partitions, then for each record its key. ARGV: the epoch, how many retired ones, then for each record edge, sequence, offset, to how many
# of those it fell, which ones, counted from 1, command, how many words follow, and those words.
_DELIVER = """
local function is_behind(last, sequence, offset)
  if not last then return true end
  local a, b = string.match(last, '^(%d+)/(%d+)$')
  return sequence > tonumber(a) or (sequence == tonumber(a) and offset > tonumber(b))
end
local keeps, at, answers, retired = KEYS[1] ~= '', 3, {}, tonumber(ARGV[2])
local kept = keeps and redis.call('hget', KEYS[1], 'epoch')
if kept and tonumber(kept) > tonumber(ARGV[1]) then return redis.error_reply('fenced out') end
for n = 2 + retired, #KEYS do
  local edge, sequence, offset = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local place, fell = ARGV[at + 1] .. '/' .. ARGV[at + 2], tonumber(ARGV[at + 3])
  local is_new = not keeps or is_behind(redis.call('hget', KEYS[1], edge), sequence, offset)
  for f = 1, fell do
    is_new = is_new and is_behind(redis.call('hget', KEYS[1 + tonumber(ARGV[at + 3 + f])], edge), sequence, offset)
  end
  at = at + 4 + fell
  local command, count = ARGV[at], tonumber(ARGV[at + 1])
  local answer = ''
  if is_new then
    answer = redis.call(command, KEYS[n], unpack(ARGV, at + 2, at + 1 + count))
    if keeps then redis.call('hset', KEYS[1], edge, place) end
  end
  answers[n - 1 - retired] = type(answer) == 'table' and 'OK' or tostring(answer)
  at = at + 2 + count
end
return answers
"""
# KEYS: the hash of the places, those of retired partitions. ARGV: the epoch, and for each of the hashes when its vertex last went back.
_CLAIM = """
for n = 2, #KEYS do
  if redis.call('exists', KEYS[n]) == 1 then
    local rewound = redis.call('hget', KEYS[n], 'rewound')
    if rewound ~= ARGV[n + 1] then redis.call('del', KEYS[n]) end
    redis.call('hset', KEYS[n], 'epoch', '4611686018427387904', 'rewound', ARGV[n + 1])
  end
end
local kept = redis.call('hmget', KEYS[1], 'epoch', 'rewound')
if kept[1] and tonumber(kept[1]) > tonumber(ARGV[1]) then return redis.error_reply('fenced out') end
if kept[2] and kept[2] ~= ARGV[2] then redis.call('del', KEYS[1]) end
redis.call('hset', KEYS[1], 'epoch', ARGV[1], 'rewound', ARGV[2])
return 'OK'
"""


class RedisKeys:
    """Keys of one server as a target; implements `Target`. A row is a key, a command of Redis, and the words behind the key.

    Args:
        url: of the server.
        what: names the target for people.
        context: says whose places they are; without a run, as in unit tests, none are kept.
    """

    def __init__(self, url: Secret, what: str, context: Context) -> None:
        self._client = make_client(url)
        self.name = name_of(self._client, what)
        self._places = f"{PLACES}:{context.run}:{context.vertex}" if context.run else ""
        self._vertex, self._epoch, self._rewound = context.vertex, context.epoch, context.rewound
        self._formers = dict(context.formers) if context.run else {}
        self._retired = [f"{PLACES}:{context.run}:{name}" for name in self._formers]
        self._is_open = False

    def open(self) -> None:
        """See `Target.open`."""
        if self._is_open:
            return
        greet(self._client)
        if self._places:
            self._run(_CLAIM, [self._places, *self._retired], [self._epoch, self._rewound, *self._formers.values()])
        self._is_open = True

    def write(self, rows: list[tuple[str, str, list[bytes]]], places: list[Place]) -> None:
        """See `Target.write`. Where one record is refused, those before it are there, and known to be."""
        words: list[Any] = [self._epoch, len(self._formers)]
        numbers = {name: number for number, name in enumerate(self._formers, 1)}
        for (_, command, rest), place in zip(rows, places, strict=True):
            fell = [numbers[name] for name in place.fell_to if name in numbers]
            words += [place.edge, place.sequence, place.offset, len(fell), *fell, command, len(rest), *rest]
        self._run(_DELIVER, [self._places, *self._retired, *(key for key, _, _ in rows)], words)

    def close(self) -> None:
        """See `Target.close`."""
        self._is_open = False
        self._client.close()

    def _run(self, script: str, keys: list[str], words: list[Any]) -> None:
        with told():
            try:
                self._client.eval(script, len(keys), *keys, *words)
            except redis.ResponseError as error:
                if _FENCED in str(error):
                    raise FencedOutError(f"vertex {self._vertex} delivers in a newer copy", code="vertex.fenced_out") from None
                raise RecordError(str(error).split(" script: ", 1)[0]) from error
