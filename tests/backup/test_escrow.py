"""Others open backups by consent: by a public key of theirs, under a name that can be shown."""

from __future__ import annotations

import pytest

from backup import escrow
from backup.book import Book
from vault.errors import UsageError
from vault.kit import new_kit

KEY = new_kit().recipient
BOOK = Book(tag="0" * 8)


def test_a_key_is_taken_however_it_was_copied() -> None:
    found = escrow.recipient(f"  {KEY}\n", "  Mio \t Berg ")
    assert (found.kind, found.name, found.key) == ("escrow", "Mio Berg", KEY)
    assert escrow.recipient(KEY.upper(), "Mio").key == KEY


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "no age key"),
        ("age1", "no age key"),
        (KEY[:-1], "no age key"),
        (KEY[:-1] + ("q" if KEY[-1] != "q" else "p"), "no age key"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", "no age key"),
        ("age1pq1" + "q" * 1900, "hybrid age key"),
        (new_kit().identity, "secret key"),
        (new_kit().identity.lower(), "secret key"),
    ],
)
def test_what_is_no_public_key_is_refused_and_not_told(key: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        escrow.recipient(key, "Mio")
    assert key == "" or key not in f"{caught.value.message} {caught.value.hint}" or len(key) < 5


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\x1b[31m", "a\u202eb"])
def test_a_name_can_be_shown(name: str) -> None:
    with pytest.raises(UsageError, match="the name"):
        escrow.recipient(KEY, name)


def test_a_name_and_a_key_are_there_once() -> None:
    book = escrow.added(BOOK, escrow.recipient(KEY, "Mio"))
    assert [one.name for one in book.recipients] == ["Mio"]
    for again in (escrow.recipient(KEY.upper(), "Ada"), escrow.recipient(new_kit().recipient, "Mio")):
        with pytest.raises(UsageError, match="already"):
            escrow.added(book, again)
    assert escrow.removed(book, "Mio").recipients == ()
    with pytest.raises(UsageError, match="no recipient"):
        escrow.removed(book, "Ada")
