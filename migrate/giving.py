"""A vault on its way out, and what its target could not hold.

Giving: a writer *takes* from each part of the model what its format can hold; what nobody took becomes a ``Loss``. So
no writer can drop a value by not knowing it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import compress
from operator import attrgetter, ne
from typing import Any

import msgspec
from msgspec.structs import fields

from vault.canonical import encode
from vault.model import Collection, Field, Item, Part, Totp, concealed, paths_of
from vault.secret import Secret


class Loss(msgspec.Struct, frozen=True):
    """One value a target cannot hold."""

    item: str  # id
    title: str
    member: str  # which member of the model, in words
    count: int = 1


class Offer:
    """A part of the model while a writer takes from it; what is not taken becomes a loss."""

    __slots__ = ("left", "part")

    def __init__(self, part: Part, silent: frozenset[str] = frozenset()) -> None:
        """Offer all members but the ``silent`` ones, which say nothing a person would miss."""
        self.part = part
        names, defaults, values_of = _members(type(part), silent)
        self.left = set(compress(names, map(ne, values_of(part), defaults)))  # names of the members nobody took yet

    def take(self, name: str) -> Any:
        """Return a member and mark it as held by the target."""
        self.left.discard(name)
        return getattr(self.part, name)

    def text(self, name: str) -> str:
        """Return a member's clear text ("" where absent) and mark it, if it is a field without other members."""
        self.left.discard(name)
        value = getattr(self.part, name)
        if value is None:
            return ""
        if type(value) is Field:
            value = value.value
        return value.reveal() if type(value) is Secret else str(value)

    def skip(self, *names: str) -> None:
        """Mark members that say nothing a person would miss."""
        self.left.difference_update(names)


@cache
def _members(
    kind: type, silent: frozenset[str]
) -> tuple[tuple[str, ...], tuple[Any, ...], Callable[[Any], tuple[Any, ...]]]:
    """Return the names of a type's members, what each is where nobody said anything, and what takes their values."""
    members = [f for f in fields(kind) if f.name not in silent]
    names = tuple(f.name for f in members)
    defaults = tuple(_made(f) if f.default is msgspec.NODEFAULT else f.default for f in members)
    return names, defaults, attrgetter(*names) if len(names) > 1 else lambda part: (getattr(part, names[0]),)


def _made(f: Any) -> Any:
    return f.default_factory() if f.default_factory is not msgspec.NODEFAULT else None


class Outgoing(msgspec.Struct):
    """A vault on its way out, and what its target could not hold."""

    format: str
    collections: tuple[Collection, ...] = ()
    items: Iterable[Item] = ()
    extras: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)  # by format
    document: Callable[[str], bytes | None] = lambda _: None  # bytes by hash
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    losses: list[Loss] = msgspec.field(default_factory=list)
    left_out: set[str] = msgspec.field(default_factory=set)  # items of which nothing is written
    moved: Counter[str] = msgspec.field(default_factory=Counter)  # member -> values written as custom fields instead

    def paths(self) -> dict[str, tuple[str, ...]]:
        """Return each collection's titles from the top, by id."""
        return paths_of(self.collections)

    def own(self, item: Item) -> bool:
        """Whether the item came from the format being written, so that its ``extra`` goes back in place."""
        return item.provenance is not None and item.provenance.format == self.format

    def lose(self, item: Item, member: str, count: int = 1) -> None:
        """Record that the target cannot hold this."""
        self.losses.append(Loss(item.id, item.title, member, count))

    def settle(self, item: Item, path: str, *offers: Offer) -> None:
        """Record every member of the offers that nobody took as lost."""
        for offer in offers:
            for name in sorted(offer.left):
                value = getattr(offer.part, name)
                many = len(value) if isinstance(value, (tuple, dict)) else 1
                self.lose(item, f"{path}.{name}" if path else name, many)


def merge_back(target: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Put ``extra`` back where it came from: objects are joined, everything else stands as the source had it."""
    for key, value in extra.items():
        mine = target.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            merge_back(mine, value)
        else:
            target[key] = value
    return target


def as_fields(offer: Offer, title: str = "") -> Iterator[Field]:
    """Yield what is left of an offer as labelled custom fields and mark it taken; what has no text stays.

    A label is the member's name, after ``title`` where one is given: "card pin".
    """
    for name in sorted(offer.left):
        value = getattr(offer.part, name)
        label = f"{title} {_words(name)}".strip()
        if isinstance(value, Field):
            offer.skip(name)
            yield msgspec.structs.replace(value, label=value.label or label)
        elif isinstance(value, Secret):
            offer.skip(name)
            yield concealed(value.reveal(), label=label)
        elif isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            offer.skip(name)
            yield Field(value=str(value), label=label)
        elif isinstance(value, tuple) and value and all(isinstance(one, str) for one in value):
            offer.skip(name)
            yield from (Field(value=one, label=label) for one in value)
        elif isinstance(value, bool):
            offer.skip(name)
            yield Field(value="true" if value else "false", field_type="boolean", label=label)
        elif isinstance(value, dict) and name != "extra":
            offer.skip(name)
            yield concealed(encode(value).decode(), label=label)


def _words(name: str) -> str:
    return name.replace("_", " ")


def code_field(totp: Totp, label: str) -> Field:
    """Return a one-time code as a concealed custom field, in the text its source had or as an otpauth URI."""
    from vault import otp

    return concealed(otp.text_of(totp), label=totp.label or label)
