"""Writes records to a Redis server, once each; loads redis-py."""

from __future__ import annotations

from typing import Any

import redis

from thalweg import Context, Place, RecordError, Secret
from thalweg.errors import FencedOutError
from thalweg_components.redis_connection import greet, make_client, name_of, told

PLACES = "thalweg:places"
_FENCED = "fenced out"

# Redis runs a script as one step, so what it writes, the fence and the places are together. KEYS: the hash of the places, then for each
# record its key. ARGV: the epoch, then for each record edge, sequence, offset, command, how many words follow, and those words.
_DELIVER = """
local keeps, at, answers = KEYS[1] ~= '', 2, {}
local kept = keeps and redis.call('hget', KEYS[1], 'epoch')
if kept and tonumber(kept) > tonumber(ARGV[1]) then return redis.error_reply('fenced out') end
for n = 2, #KEYS do
  local edge, sequence, offset = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local command, count = ARGV[at + 3], tonumber(ARGV[at + 4])
  local last, is_new = keeps and redis.call('hget', KEYS[1], edge), true
  if last then
    local a, b = string.match(last, '^(%d+)/(%d+)$')
    is_new = sequence > tonumber(a) or (sequence == tonumber(a) and offset > tonumber(b))
  end
  local answer = ''
  if is_new then
    answer = redis.call(command, KEYS[n], unpack(ARGV, at + 5, at + 4 + count))
    if keeps then redis.call('hset', KEYS[1], edge, ARGV[at + 1] .. '/' .. ARGV[at + 2]) end
  end
  answers[n - 1] = type(answer) == 'table' and 'OK' or tostring(answer)
  at = at + 5 + count
end
return answers
"""
_CLAIM = """
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
        self._is_open = False

    def open(self) -> None:
        """See `Target.open`."""
        if self._is_open:
            return
        greet(self._client)
        if self._places:
            self._run(_CLAIM, [self._places], [self._epoch, self._rewound])
        self._is_open = True

    def write(self, rows: list[tuple[str, str, list[bytes]]], places: list[Place]) -> None:
        """See `Target.write`. Where one record is refused, those before it are there, and known to be."""
        words: list[Any] = [self._epoch]
        for (_, command, rest), place in zip(rows, places, strict=True):
            words += [place.edge, place.sequence, place.offset, command, len(rest), *rest]
        self._run(_DELIVER, [self._places, *(key for key, _, _ in rows)], words)

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
