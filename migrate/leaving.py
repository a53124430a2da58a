"""One item on its way into a row: what a column can hold is taken, the rest becomes labelled lines or a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from migrate.giving import Offer, Outgoing, as_fields
from vault import model
from vault.model import CustomFields, Field, Item, Totp
from vault.views import display_title, rows

UNREADABLE = "unreadable-code"  # the section that holds a one-time code whose key cannot be read

# Of an item: what says nothing by itself, and what is a loss rather than a line of text.
_SILENT = ("id", "provenance", "conflict", "template", "credentials", "collections", "extra")
_NO_TEXT = frozenset(
    {
        *("creation_at", "modified_at", "last_used_at", "history", "icon"),
        *("reprompt", "favorite", "archived", "trashed"),
    }
)
_STATES = (("archived", "archived_at"), ("trashed", "trashed_at"))
_NO_LINES = (model.Passkey, model.File, model.ItemReference)  # as text they are of use to nobody


Paths = Mapping[str, tuple[str, ...]]


class Leaving:
    """The parts of one item, each taken once."""

    def __init__(self, out: Outgoing, item: Item, paths: Paths) -> None:
        self.out, self.item, self.own, self.paths = out, item, out.own(item), paths
        self.offer = Offer(item)
        self.offer.skip(*_SILENT)
        for state, at in _STATES:
            if getattr(item, state):
                self.offer.skip(at)
        self.parts: list[tuple[Any, Offer]] = [(one, Offer(one)) for one in item.credentials]
        self.urls = list(self.offer.take("urls"))

    def part(self, kind: type[Any]) -> tuple[Any, Offer] | None:
        """Return the first credential of the kind with its offer."""
        return next((part for part in self.parts if type(part[0]) is kind), None)

    def remove(self, part: tuple[Any, Offer]) -> None:
        """Take a credential as a whole."""
        self.parts.remove(part)

    def member(self, kind: type[Any], name: str) -> str:
        """Take a member of the first credential of the kind; "" where there is none."""
        part = self.part(kind)
        return part[1].text(name) if part else ""

    def title(self) -> str:
        """Take the title; an item of another format without one is called as views call it."""
        title: str = self.offer.take("title")
        return title if title or self.own else display_title(self.item)

    def username(self) -> str:
        """Take the user name."""
        return self.member(model.BasicAuth, "username")

    def password(self) -> str:
        """Take the password, else one that was generated and belongs to no login."""
        return self.member(model.BasicAuth, "password") or self.member(model.GeneratedPassword, "password")

    def url(self) -> str:
        """Take the first address that is left."""
        return self._url(self.urls.pop(0)) if self.urls else ""

    def all_urls(self) -> list[str]:
        """Take all addresses that are left."""
        found = [self._url(one) for one in self.urls]
        self.urls.clear()
        return found

    def _url(self, url: model.Url) -> str:
        offer = Offer(url)
        offer.skip("extra")
        text: str = offer.take("url")
        self.out.settle(self.item, "url", offer)
        return text

    def totp(self, fits: Callable[[Totp], str | None]) -> str:
        """Take the first code for which ``fits`` returns a text; an unreadable one goes back as it was."""
        for part in self.parts:
            credential = part[0]
            if type(credential) is CustomFields and credential.id == UNREADABLE and credential.fields:
                self.parts.remove(part)
                return credential.fields[0].text
        for part in self.parts:
            if type(part[0]) is Totp and (text := fits(part[0])) is not None:
                self.parts.remove(part)
                return text
        return ""

    def notes(self) -> str:
        """Take every note; several are joined by an empty line."""
        found = [part for part in self.parts if type(part[0]) is model.Note]
        for part in found:
            self.parts.remove(part)
        return "\n\n".join(text for credential, _ in found if (text := credential.content.reveal()))

    def note(self) -> str:
        """Take the first note that is left."""
        part = self.part(model.Note)
        if part is None:
            return ""
        self.parts.remove(part)
        text: str = part[0].content.reveal()
        return text

    def folder(self, separator: str, split: Callable[[str], tuple[str, ...]]) -> str:
        """Take the first folder's path, joined; further folders, and names that read as a path, are losses."""
        known = [self.paths[own_id] for own_id in self.item.collections if own_id in self.paths]
        if len(known) > 1:
            self.out.lose(self.item, "further folders", len(known) - 1)
        if not known:
            return ""
        text = separator.join(known[0])
        if split(text) != known[0]:
            self.out.lose(self.item, f"a folder's name that holds {separator}")
        return text

    def fields(self) -> Iterator[Field]:
        """Take everything that can be said as a labelled text, custom fields with their section before the label."""
        for url in self.all_urls():
            yield Field(value=url, label="url")
        for part in list(self.parts):
            yield from self._fields_of(*part)
        kept = {name for name in self.offer.left if name in _NO_TEXT}
        self.offer.skip(*kept)
        yield from as_fields(self.offer)
        yield from (Field(value=app.bundle_id, label="android app") for app in self.offer.take("android_apps"))
        self.offer.left.update(kept)
        if not self.own:
            from vault.views import extra_fields

            yield from extra_fields(self.item)

    def _fields_of(self, credential: Any, offer: Offer) -> Iterator[Field]:
        from vault import otp

        offer.skip("extra")
        if isinstance(credential, CustomFields):
            offer.skip("id", "label", "fields")
            prefix = f"{credential.label}: " if credential.label else ""
            for field in credential.fields:
                yield msgspec.structs.replace(field, label=prefix + (field.label or "")) if prefix else field
        elif isinstance(credential, Totp):
            offer.left.clear()
            yield model.concealed(otp.uri(credential), label=credential.label or "one-time code")
        elif not isinstance(credential, _NO_LINES):
            yield from as_fields(offer, _title(credential))

    def settle(self, *, fields: bool) -> None:
        """Record what is left as lost; ``fields`` says whether what has a text was written before."""
        for url in [] if fields else self.all_urls():
            self.out.lose(self.item, "url", bool(url))
        for credential, offer in self.parts:
            if isinstance(credential, _NO_LINES):
                self.out.lose(self.item, _title(credential))
                continue
            offer.skip("extra")
            if isinstance(credential, CustomFields) and offer.left:
                offer.skip("id", "label")
            self.out.settle(self.item, _title(credential), offer)
        if not fields and not self.own and self.item.extra:
            self.out.lose(self.item, "extra", len(self.item.extra))
        self.out.settle(self.item, "", self.offer)

    def lose(self) -> None:
        """Record the whole item as one that the target cannot hold."""
        self.out.left_out.add(self.item.id)
        self.out.lose(self.item, "item", _values_in(self.item))


def _values_in(item: Item) -> int:
    """Return how many values a person sees of an item."""
    shown = sum(bool(row.field.text) for row in rows(item))
    return max(shown + len(item.tags) + bool(item.title) + bool(item.collections), 1)


def _title(credential: Any) -> str:
    return str(type(credential).__struct_config__.tag).replace("-", " ")


def lines_of(note: str, fields: Iterator[Field] | list[Field]) -> str:
    """Return a note with labelled lines below it."""
    lines = "\n".join(f"{field.label}: {field.text}" if field.label else field.text for field in fields if field.text)
    return f"{note}\n\n{lines}" if note and lines else note or lines
