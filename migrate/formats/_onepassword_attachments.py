"""Attachments of a 1PUX file, read: members of the container, and what names them (dossier: 1Password 2.1)."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from migrate import taking
from migrate.formats import _onepassword as op
from migrate.source import Record, Source
from migrate.taking import nested, optional, text
from vault import model


@dataclass(slots=True)
class Attachments:
    """The container's members, and which of them somebody named."""

    source: Source
    used: set[str]  # members that are accounted for
    names: frozenset[str] = frozenset()
    hashes: dict[str, tuple[str, int]] = field(default_factory=dict)  # member -> hash and size
    by_id: dict[str, str] = field(default_factory=dict)  # "files/" and a document's id -> its first member
    place: str = ""  # of the record being read
    named: list[str] = field(default_factory=list)  # members it names

    def __post_init__(self) -> None:
        self.names = frozenset(self.source.archive.names)

    def begin(self, record: Record) -> None:
        """Turn to a record; what the one before it named counts only once ``settle`` was called."""
        self.place, self.named = record.place, []

    def settle(self) -> None:
        """Count what the record names: each attachment is one value."""
        self.source.ledger.total += len(self.named)
        self.used.update(self.named)

    def left(self) -> dict[str, str]:
        """Return the hash of each member that nobody named, counted as values kept raw."""
        found = {name: self._hash(name)[0] for name in self.source.archive.names if name not in self.used}
        if found:
            self.source.ledger.total += len(found)
            self.source.ledger.elsewhere_lines["", "files"] += len(found)
        return found

    def document(self, record: Record, details: dict[str, Any]) -> model.File:
        """Pop the file that an item itself is."""
        found = details.pop("documentAttributes")
        members = self.attach(found)
        extra = op.keep(record.rest(found, "details.documentAttributes"), {"document": True})
        return model.File(extra=extra, **members)

    def beside(self, record: Record, outer: dict[str, Any]) -> model.File | None:
        """Pop the attachment that stands beside an item of an early file; its path stays as it is."""
        found = outer.get("file")
        if not isinstance(found, dict) or not isinstance(found.get("path"), str):
            taking.forget_empty(outer, "file")
            return None
        del outer["file"]
        attrs, path = nested(found, "attrs"), found["path"]
        names: dict[str, Any] = {
            "id": text(attrs, "uuid"),
            "name": text(attrs, "name"),
            "media_type": optional(attrs, "type"),
            **self._bytes(path if path in self.names else None),
        }
        taking.keep(found, "attrs", attrs)
        return model.File(extra=op.keep(record.rest(found, "file"), {"wrapper": True}), **names)

    def attach(self, found: dict[str, Any]) -> dict[str, Any]:
        """Pop what names an attachment; return the members of a ``File``."""
        document, name = text(found, "documentId"), text(found, "fileName")
        members = self._bytes(self._member(document, name))
        said = found.get("decryptedSize")
        if type(said) is int and (members.get("missing") or said == members["decrypted_size"]):
            members["decrypted_size"] = found.pop("decryptedSize")
        elif said:
            self._warn("an attachment has another size than the file says")
        if not said:
            found.pop("decryptedSize", None)
        return {"id": document, "name": name, **members}

    def _warn(self, what: str) -> None:
        self.source.ledger.warn(f"{self.place}: {what}")

    def _bytes(self, member: str | None) -> dict[str, Any]:
        if member is None:
            self._warn("an attachment is named, but its bytes are not in the file")
            return {"missing": True}
        self.named.append(member)
        own, size = self._hash(member)
        return {"integrity_hash": own, "decrypted_size": size}

    def _hash(self, member: str) -> tuple[str, int]:
        if member not in self.hashes:
            content = self.source.archive.read(member)
            own = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            self.hashes[member] = own, len(content)
            self.source.documents[own] = member
        return self.hashes[member]

    def _member(self, document: str, name: str) -> str | None:
        """Return the member with an attachment's bytes: of its name, else of its id alone."""
        for member in (op.member_of(document, name), op.safe_member_of(document, name)):
            if member in self.names:
                return member
        if not self.by_id:
            self.by_id = {one.partition("__")[0]: one for one in reversed(self.source.archive.names)}
        return self.by_id.get(f"files/{document}")
