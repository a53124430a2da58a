"""The set of ``docs/backup-format.md``, made of counted bytes: all but its age layer is the same each time."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from typing import NamedTuple, cast

from backup import payload
from backup.payload import Counts, Gathered, Link, Manifest, Part, Recipient, TargetList
from backup.zipped import Member
from tests.backup.sets import deflated
from tests.vault.test_membership import stand_in
from vault import cxf, listmaking, membership, statement
from vault.kit import Kit
from vault.model import BasicAuth, Field, Item
from vault.secret import Secret
from vault.store import Store

AT = "2026-11-23T21:00:00Z"
KIT, LAPTOP = Kit(bytes(range(32))), stand_in(64)
CHAIN = (listmaking.genesis(KIT.classic_root, LAPTOP, name="laptop", now="2026-11-23T00:00:00Z"),)
DOCUMENT = b"a contract\n"
HISTORY = (
    b'["order","items",1,[1]]\n'
    b'["order","collections",0,[]]\n'
    b'["past","bWFpbA","2026-11-23T20:00:00Z","{\\"id\\":\\"bWFpbA\\",\\"title\\":\\"Post\\"}",null]\n'
)
ITEM = Item(
    id="bWFpbA",
    title="Mail",
    credentials=(
        BasicAuth(
            username=Field(value="ada"),
            password=Field(value=Secret('kr,on"or\\27'), field_type="concealed-string"),
        ),
    ),
)


class Vector(NamedTuple):
    """Everything that is the same always."""

    vault: bytes
    history: bytes
    document: bytes
    manifest: bytes
    signature: bytes
    zip: bytes
    content: str


class _Store:
    """Just enough of a store to take the attachment from."""

    def document_parts(self, name: str) -> Iterator[bytes]:
        yield DOCUMENT


def vector() -> Vector:
    """Return the set of the page; both deflated parts are one stored block."""
    vault = b"".join(cxf.chunks((), (ITEM,), {}, now=AT))
    body = vault.split(b'"items":[', 1)[1]
    parts = (
        *(
            Part(name, len(data), _sha(data), _sha(deflated(data)))
            for name, data in ((payload.VAULT, vault), (payload.HISTORY, HISTORY))
        ),
        Part(payload.DOCUMENTS + _sha(DOCUMENT), len(DOCUMENT), _sha(DOCUMENT)),
    )
    counts = Counts(items=1, trashed=0, collections=0, documents=1, document_bytes=len(DOCUMENT))
    packed = {payload.VAULT: deflated(vault), payload.HISTORY: deflated(HISTORY)}
    members = {
        name: Member(name, len(data) - 5, zlib.crc32(data[5:]), len(data), deflated=True)
        for name, data in packed.items()
    }
    content = payload._content(_sha(body), parts)
    gathered = Gathered(cast("Store", _Store()), parts, packed, members, counts, content)
    manifest = payload.encoded(_manifest(gathered))
    signature = statement.sign(LAPTOP, CHAIN, payload.PURPOSE, manifest)
    zip_ = b"".join(payload.content(gathered, manifest, signature))
    return Vector(vault, HISTORY, DOCUMENT, manifest, signature, zip_, content)


def _manifest(gathered: Gathered) -> Manifest:
    before = Link("00010203" * 2, _sha(b"the set before"))
    return Manifest(
        vault=membership.vault_id_of(CHAIN),
        name="Ada",
        set="1f3a77c000010203",
        counter=2,
        previous=before,
        made_at=AT,
        device=LAPTOP.device_id,
        device_name="laptop",
        membership=membership.head_of(CHAIN).hex(),
        height=1,
        recipients=(
            Recipient("kit", "recovery kit", KIT.recipient),
            Recipient("device", "laptop", LAPTOP.bundle.age),
        ),
        counts=gathered.counts,
        content=gathered.content,
        members=gathered.parts,
        targets=(TargetList("local", {before.set: before.digest}, {}),),
    )


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    import sys
    from pathlib import Path

    from tests.backup.sets import sealed

    Path(sys.argv[1]).write_bytes(sealed(vector().zip, KIT.recipient, LAPTOP.bundle.age))
