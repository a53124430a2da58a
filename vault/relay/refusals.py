"""What the relay says no to: a status, a word for programs, a sentence for people."""

from __future__ import annotations

import math

from vault.sync import wire


class Refused(Exception):
    """An answer that is no: ``word`` stands in the header ``Keyferry-Error``, ``body`` for the sentence if given."""

    def __init__(
        self, status: int, word: str, sentence: str, *, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(word)
        self.status = status
        self.word = word
        self.sentence = sentence
        self.body = body
        self.headers = headers or {}


def later(word: str, sentence: str, seconds: float) -> Refused:
    """Return the answer to somebody who asks too much."""
    return Refused(429, word, sentence, headers={"retry-after": str(max(1, math.ceil(seconds)))})


def unavailable(sentence: str) -> Refused:
    """Return the answer while the relay itself has a problem; the same request may be sent again."""
    return Refused(503, "unavailable", sentence, headers={"retry-after": "5"})


def malformed(sentence: str) -> Refused:
    """Return the answer to a body or an address that is not of the form."""
    return Refused(400, "malformed", sentence)


def fork(existing: bytes) -> Refused:
    """Return the answer to an entry in whose place another stands; the body is that one's hash."""
    return Refused(409, "fork", "another entry stands in this place", body=wire.write_hash(existing))
