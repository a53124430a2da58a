"""Who may open backups by consent: age keys of other people, by name."""

from __future__ import annotations

import re

import msgspec

from backup.book import Book
from backup.payload import Recipient
from vault.errors import UsageError

_NAME_CHARS = 64


def recipient(key: str, name: str) -> Recipient:
    """Return the recipient of an age X25519 public key; raises ``UsageError``."""
    import pyrage

    key, name = key.strip(), " ".join(name.split())
    if key.isupper():
        key = key.lower()  # the same key; Bech32 may be written either way
    if re.match(r"age-secret-key-", key, re.IGNORECASE):
        raise UsageError("that is a secret key", hint="give the public one, which begins with age1")
    if key.startswith("age1pq"):
        raise UsageError("that is a hybrid age key, which cannot be sealed to yet", hint="give an X25519 key")
    try:
        pyrage.x25519.Recipient.from_str(key)
    except pyrage.RecipientError:
        raise UsageError("that is no age key", hint="it begins with age1; age-keygen makes one") from None
    if not name or len(name) > _NAME_CHARS or not name.isprintable():
        raise UsageError("the name is empty, too long or cannot be shown", hint=f"at most {_NAME_CHARS} letters")
    return Recipient("escrow", name, key)


def added(book: Book, fresh: Recipient) -> Book:
    """Return the book with the recipient; raises ``UsageError`` if its name or key is there already."""
    if any(fresh.name == one.name or fresh.key == one.key for one in book.recipients):
        raise UsageError("this name or this key is a recipient already", hint="keyferry backup recipient list")
    return msgspec.structs.replace(book, recipients=(*book.recipients, fresh))


def removed(book: Book, name: str) -> Book:
    """Return the book without the recipient of that name; raises ``UsageError``."""
    left = tuple(one for one in book.recipients if one.name != name)
    if len(left) == len(book.recipients):
        raise UsageError("there is no recipient of that name", hint="keyferry backup recipient list")
    return msgspec.structs.replace(book, recipients=left)
