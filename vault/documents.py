"""Putting a large document into the vault piece by piece, so that it is never whole in memory."""

from __future__ import annotations

import base64
import hashlib

from vault.database import Database
from vault.errors import DamagedVault
from vault.rows import note_document


class DocumentWriter:
    """A document in the making; give it all its pieces, then ``finish``, inside the transaction it was made in.

    If the vault holds the document already, the pieces are only looked at.
    """

    def __init__(self, db: Database, name: str, size: int) -> None:
        """Make room for a document of that content address and size; raises ``ValueError`` outside a transaction."""
        if not db.in_transaction:
            raise ValueError("a document is written in pieces inside a transaction only")
        self._name, self._size = name, size
        self._digest, self._written = hashlib.sha256(), 0
        self._blob = None
        if db.one("SELECT 1 FROM documents WHERE hash = ?", (name,)) is None:
            db.do("INSERT INTO documents (hash, size, body) VALUES (?, ?, zeroblob(?))", (name, size, size))
            note_document(db, name)
            row = db.value("SELECT rowid FROM documents WHERE hash = ?", (name,))
            self._blob = db.blob_to_fill("documents", "body", row)

    def write(self, piece: bytes) -> None:
        """Take the next piece; raises ``DamagedVault`` for more than there is room for, ``DiskFull``."""
        self._written += len(piece)
        if self._written > self._size:
            raise DamagedVault("a document is longer than it should be")
        self._digest.update(piece)
        if self._blob is not None:
            self._blob.write(piece)

    def finish(self) -> None:
        """End it; raises ``DamagedVault`` if what was written is not what the name says: then end the transaction."""
        if self._blob is not None:
            self._blob.close()
        name = base64.urlsafe_b64encode(self._digest.digest()).rstrip(b"=").decode()
        if (name, self._written) != (self._name, self._size):
            raise DamagedVault("a document is not what its name says")
