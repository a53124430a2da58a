"""Finding items by what may be seen of them: title, user names, addresses, tags and note text.

Never a concealed value; note text is the one exception. Text is compared folded: without case and accents. The index
knows only groups of three letters and narrows the search; the items themselves are then asked.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from vault import canonical
from vault.database import Database
from vault.model import ApiKey, BasicAuth, Field, Item, Note, Passkey, Wifi
from vault.views import display_title

_GRAM = 3
_MOST_GRAMS = 60  # FTS5 refuses expressions that are nested deeper than 256


def fold(text: str) -> str:
    """Return the text as it is compared: lower case, without accents."""
    if text.isascii():
        return text.lower()
    whole = text.encode("utf-8", "replace").decode()
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", whole).casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def text_of(item: Item) -> str:
    """Return the folded text an item can be found by."""
    return fold("\n".join(_texts(item)))


def _texts(item: Item) -> list[str]:
    found = [display_title(item)]
    for credential in item.credentials:
        kind = type(credential)
        if kind in _NAMED:
            field: Field | None = getattr(credential, _NAMED[kind])
            if field is not None and not field.is_concealed:
                found.append(field.text)
        elif isinstance(credential, Note):
            found.append(credential.content.reveal())
        elif isinstance(credential, Passkey):
            found += (credential.username, credential.user_display_name)
    found += [url.url for url in item.urls]
    found += item.tags
    return found


_NAMED: dict[type, str] = {BasicAuth: "username", ApiKey: "username", Wifi: "ssid"}  # what may be shown of them


def search(db: Database, words: Iterable[str]) -> list[str]:
    """Return the ids of the items in which each word occurs; those with all words in the title come first."""
    wanted = [folded for word in words if (folded := fold(word).strip())]
    in_title: list[str] = []
    elsewhere: list[str] = []
    with canonical.many():
        for body in _candidates(db, wanted):
            item = canonical.decode_item(body)
            if all(word in fold(display_title(item)) for word in wanted):
                in_title.append(item.id)
            elif all(word in text_of(item) for word in wanted):
                elsewhere.append(item.id)
    return in_title + elsewhere


def _candidates(db: Database, wanted: list[str]) -> Iterator[bytes]:
    expression = _expression(wanted)
    if expression:
        sql = "SELECT body FROM items WHERE seq IN (SELECT rowid FROM words WHERE words MATCH ?) ORDER BY seq"
        return (body for (body,) in db.each(sql, (expression,)))
    return (body for (body,) in db.each("SELECT body FROM items ORDER BY seq"))


def _expression(wanted: list[str]) -> str:
    """Return the index query: every group of three letters of every word; empty if all words are shorter."""
    grams = dict.fromkeys(
        word[at : at + _GRAM] for word in wanted for at in range(len(word) - _GRAM + 1) if "\0" not in word
    )
    quoted = ('"' + gram.replace('"', '""') + '"' for gram in list(grams)[:_MOST_GRAMS])
    return " AND ".join(quoted)
