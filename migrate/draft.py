"""One row while it becomes an item, and what the columns of tables mean.

A column reads its cell into the draft, and takes it back out of an item that is being written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from migrate.leaving import UNREADABLE, Leaving
from migrate.shape import Changed, Codes, codes
from migrate.source import Record
from vault import model, otp
from vault.model import CustomFields, Field, Item, Provenance, Totp, Url, concealed
from vault.secret import Secret


class Draft:
    """One row while it becomes an item."""

    __slots__ = (
        *("auth", "codes", "collections", "favorite", "fields", "members", "notes"),
        *("password", "record", "reprompt", "tags", "times", "title", "urls", "username"),
    )

    def __init__(self, record: Record) -> None:
        self.record = record
        self.title = self.username = self.password = ""
        self.auth = self.favorite = self.reprompt = False
        self.urls: list[Url] = []
        self.codes: list[Any] = []
        self.members: dict[type[Any], dict[str, Field]] = {}  # of cards, names, addresses
        self.notes: list[str] = []
        self.fields: list[Field] = []
        self.collections: list[str] = []
        self.tags: list[str] = []
        self.times: dict[str, Any] = {}

    def credentials(self) -> list[Any]:
        """Return what the item consists of; a row with an address, a user name or a password is a login."""
        made: list[Any] = []
        if self.auth or self.urls or self.username or self.password:
            made.append(auth_of(self.username, self.password))
        made += self.codes
        made += [kind(**members) for kind, members in self.members.items()]
        made += [model.Note(content=Secret(text)) for text in self.notes]
        if self.fields:
            made.append(CustomFields(fields=tuple(self.fields)))
        return made

    def item(self, **members: Any) -> Item:
        """Return the item; whatever is left of the record is kept raw."""
        record, source = self.record, self.record.source
        return Item(
            id=source.identify("item", record.place),
            title=self.title,
            urls=tuple(self.urls),
            favorite=self.favorite,
            reprompt=self.reprompt,
            tags=tuple(self.tags),
            collections=tuple(dict.fromkeys(self.collections)),
            extra=left_of(record),
            **{
                "credentials": tuple(self.credentials()),
                "provenance": Provenance(format=source.format),
                **self.times,
                **members,
            },
        )


def auth_of(username: str, password: str) -> model.BasicAuth:
    """Return a login; what is empty is absent."""
    return model.BasicAuth(
        username=Field(value=username) if username else None, password=concealed(password) if password else None
    )


def left_of(record: Record) -> dict[str, str]:
    """Return the cells nobody took, without the empty ones, each with its line in the ledger."""
    left = {name: cell for name, cell in record.data.items() if cell} if record.data else {}
    return record.rest(left)


def code_of(record: Record, cell: str, label: str) -> Totp | CustomFields:
    """Return a cell's one-time code; one whose key cannot be read is kept as a hidden field, with a warning."""
    try:
        return otp.parse(cell)
    except ValueError:
        record.source.ledger.warn(f"{record.place}: the one-time code's key cannot be read; kept as a hidden field")
        return CustomFields(id=UNREADABLE, fields=(concealed(cell, label=label),))


class Column(msgspec.Struct, frozen=True):
    """What the cells of a column are.

    ``read`` puts a non-empty cell into the draft and says whether it understood it; ``write`` takes it from the item.
    """

    read: Callable[[Draft, str, str], bool]
    write: Callable[[Leaving], str]
    shape: Codes | Changed | None = None


def _read_title(draft: Draft, _: str, cell: str) -> bool:
    draft.title = cell
    return True


def _read_username(draft: Draft, _: str, cell: str) -> bool:
    draft.username = cell
    return True


def _read_password(draft: Draft, _: str, cell: str) -> bool:
    draft.password = cell
    return True


def _read_url(draft: Draft, _: str, cell: str) -> bool:
    draft.urls.append(Url(url=cell))
    return True


def _read_note(draft: Draft, _: str, cell: str) -> bool:
    draft.notes.append(cell)
    return True


def _read_code(draft: Draft, header: str, cell: str) -> bool:
    draft.codes.append(code_of(draft.record, cell, header))
    return True


def any_code(totp: Totp) -> str | None:
    """Return the text of a code for targets that read bare secrets and otpauth addresses alike."""
    return otp.text_of(totp) if totp.kind == "totp" else otp.steam_uri(totp) if totp.kind == "steam" else None


title = Column(_read_title, Leaving.title)
username = Column(_read_username, Leaving.username)
password = Column(_read_password, Leaving.password)
url = Column(_read_url, Leaving.url)
note = Column(_read_note, Leaving.notes)
totp = Column(_read_code, lambda leaving: leaving.totp(any_code))

Split = Callable[[str], tuple[str, ...]]


def split_path(separator: str) -> Split:
    """Return a function that cuts a folder's full name at the separator; a name with an empty part is one name."""

    def split(name: str) -> tuple[str, ...]:
        parts = tuple(name.split(separator))
        return parts if all(parts) else (name,)

    return split


def folder(separator: str) -> Column:
    """Return the column of a folder's full name."""
    split = split_path(separator)

    def read(draft: Draft, _: str, cell: str) -> bool:
        draft.collections.append(draft.record.source.folders.at(split(cell), cell))
        return True

    return Column(read, lambda leaving: leaving.folder(separator, split))


_YES, _NO = ("1", "true", "True", "TRUE"), ("0", "false", "False", "FALSE")
YES_OR_NO = codes(*_YES, *_NO)  # products write numbers, scripts and spreadsheets words


def flag(member: str, off: str = "") -> Column:
    """Return a column that is 1 for yes, and 0 or empty for no, or says so in words; anything else is kept raw."""

    def read(draft: Draft, _: str, cell: str) -> bool:
        if cell in _YES:
            setattr(draft, member, True)
        return cell in _YES or cell in _NO

    return Column(read, lambda leaving: "1" if leaving.offer.take(member) else off, YES_OR_NO)
