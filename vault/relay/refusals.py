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


def too_large() -> Refused:
    """Return the answer to a body that is larger than the endpoint takes."""
    return Refused(413, "too-large", "the body is too large")


def full() -> Refused:
    """Return the answer to what would make a vault larger than the relay lets it become."""
    return Refused(507, "quota", "the vault holds as much as this relay takes")


def gone() -> Refused:
    """Return the answer about a vault in its days of grace."""
    return Refused(410, "deleted", "the vault was deleted by its root key")


def no_vault() -> Refused:
    """Return the answer about a vault that is not here."""
    return Refused(404, "no-such-vault", "the relay has no such vault")


def no_slot() -> Refused:
    """Return the answer about a slot that is not here."""
    return Refused(404, "no-such-slot", "there is no such slot, or its time is over")


def nothing() -> Refused:
    """Return the answer where no endpoint is."""
    return Refused(404, "nothing-here", "there is nothing here")
