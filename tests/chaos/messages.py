"""Messages that say where they come from, so that what arrives can be judged.

A message of HEADER bytes or more begins with "SOURCE.SEQ:", and what follows
depends on both. Shorter ones cannot say so: in a hub only one client sends
them.
"""
import functools
import hashlib
import random
import re
from typing import NamedTuple

from peers import BINARY, TEXT

HEADER = 16
_SIGNS = bytes(range(33, 127)).replace(b";", b"")
_TEXT = bytes(_SIGNS[i % len(_SIGNS)] for i in range(256))
_HEAD = re.compile(rb"([a-z]\d+)\.(\d+):")


class Message(NamedTuple):
    source: str     # "c0", a client; "b1", a connection to the backend
    seq: int
    text: bool
    size: int

    @property
    def opcode(self):
        return TEXT if self.text else BINARY

    def body(self):
        head = f"{self.source}.{self.seq}:".encode()
        filler = random.Random(f"{head}{self.size}").randbytes(self.size)
        if not self.text:
            return (head + filler[len(head):])[:self.size] \
                if self.size >= HEADER else filler
        filler = filler.translate(_TEXT)
        if self.size < HEADER:
            return filler
        body = head + filler[len(head):]
        # A character of three bytes at the end, to be split by fragments.
        return body[:-3] + "€".encode() if self.size >= 40 else body

    @functools.lru_cache(maxsize=10000)
    def seen(self):
        return Seen.of(self.opcode, self.body())


class Seen(NamedTuple):
    """A message as it arrived; equal to another's if they are the same."""
    opcode: int
    size: int
    digest: bytes
    start: bytes

    @classmethod
    def of(cls, opcode, payload):
        payload = bytes(payload)
        return cls(opcode, len(payload),
                   hashlib.blake2b(payload, digest_size=12).digest(),
                   payload[:24])

    def origin(self):
        """(source, seq) as it claims; None: it is too short to say."""
        m = _HEAD.match(self.start) if self.size >= HEADER else None
        return (m[1].decode(), int(m[2])) if m else None

    def __str__(self):
        kind = {TEXT: "text", BINARY: "binary"}.get(self.opcode, self.opcode)
        return f"{kind} of {self.size} bytes, {self.start!r}..."
