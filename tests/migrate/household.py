"""The invented household as a Bitwarden export, and vaults to bring it into; no value of it is anybody's."""

from __future__ import annotations

import copy
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from migrate import catalog, moving
from migrate.moving import Outcome
from migrate.source import Source
from vault.canonical import digest
from vault.store import Store

NOW = "2026-03-01T10:00:00Z"
LATER = "2026-03-08T10:00:00Z"
LAST = "2026-03-15T10:00:00Z"

Export = dict[str, Any]
KEY = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def own_id(name: str) -> str:
    """Return a UUID that is the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.example.test"))


def login(name: str, user: str, password: str, *uris: str, folder: str | None = None, **more: Any) -> Export:
    """Return a login as Bitwarden writes it; ``more`` are members of the item or, below ``login``, of the login."""
    inner = {
        "uris": [{"match": None, "uri": uri} for uri in uris],
        "username": user,
        "password": password,
        "totp": more.pop("totp", None),
        "fido2Credentials": more.pop("passkeys", []),
    }
    return item(name, 1, folder=folder, login=inner, **more)


def item(name: str, kind: int, *, folder: str | None = None, **more: Any) -> Export:
    """Return an item of the numbered type."""
    return {
        "passwordHistory": None,
        "revisionDate": "2025-06-02T08:30:00.000Z",
        "creationDate": "2024-01-15T18:04:05.120Z",
        "deletedDate": None,
        "id": own_id(f"item {name} {kind}"),
        "organizationId": None,
        "folderId": own_id(f"folder {folder}") if folder is not None else None,
        "type": kind,
        "reprompt": 0,
        "name": name,
        "notes": None,
        "favorite": False,
        "collectionIds": None,
        **more,
    }


def export(items: list[Export], *folders: str) -> Export:
    """Return a whole file; the folders come in this order."""
    return {
        "encrypted": False,
        "folders": [{"id": own_id(f"folder {name}"), "name": name} for name in folders],
        "items": items,
    }


def household() -> Export:
    """Return everything a household has, in one export."""
    return copy.deepcopy(_HOUSEHOLD)


def as_bytes(data: Export, **how: Any) -> bytes:
    """Return the file."""
    return json.dumps(data, ensure_ascii=False, indent=2, **how).encode()


_PASSKEY = {
    "credentialId": "0d5a7a5b-9c1e-4f7a-8e55-2a3b4c5d6e7f",
    "keyType": "public-key",
    "keyAlgorithm": "ECDSA",
    "keyCurve": "P-256",
    "keyValue": "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQginvented",
    "rpId": "mail.example.test",
    "userHandle": "dXNlci1oYW5kbGU",
    "userName": "ada@mail.example.test",
    "counter": "0",
    "rpName": "Example Mail",
    "userDisplayName": "Ada Lindqvist-Okoye",
    "discoverable": "true",
    "creationDate": "2025-02-03T04:05:06.789Z",
}

_HOUSEHOLD = export(
    [
        login(
            "My bank",
            "ada@example.org",
            'kr,on"or\\27',
            "https://bank.example.test/login",
            folder="Bank",
            totp=f"otpauth://totp/Riverbank:ada?secret={KEY}&issuer=Riverbank&digits=8&period=60&algorithm=SHA256",
            notes="Call first:\n0800 12 12\n\nthen wait",
            fields=[
                {"name": "PIN", "value": "0042", "type": 1, "linkedId": None},
                {"name": "Branch", "value": "Harbour", "type": 0, "linkedId": None},
                {"name": "Paper", "value": "true", "type": 2, "linkedId": None},
                {"name": "User", "value": None, "type": 3, "linkedId": 100},
            ],
            passwordHistory=[{"lastUsedDate": "2024-11-05T06:07:08.900Z", "password": "old-kronor-26"}],
            futureKey={"deep": ["kept", 17]},
        ),
        login(
            "Mail",
            "ada@mail.example.test",
            "correct horse battery",
            "https://mail.example.test",
            "https://webmail.example.test/inbox",
            folder="Home/Mail",
            favorite=True,
            totp=KEY,
            passkeys=[_PASSKEY],
        ),
        login("Router", "admin", " spaced ", folder="Home"),
        login("NA", "tom", "NA"),
        login("Agent", "tom", "007", "https://agent.example.test"),
        login("Sheet", "tom", "=1+1", "https://sheet.example.test"),
        login("Nothing", "tom", "", "https://nothing.example.test"),
        login("Two lines", "mio", "first\nsecond", "https://two.example.test"),
        login("Büro 🗝️ مفتاح", "mio", "ключ-Ω", "https://idn.example.test", totp="steam://" + KEY),
        login("Old shop", "ada", "trash-me-9", deletedDate="2026-01-02T03:04:05.678Z"),
        login("Club", "ada", "archive-me-9", archivedDate="2026-01-02T03:04:05.678Z"),
        item(
            "Visa of Ada",
            3,
            folder="Bank",
            card={
                "cardholderName": "Ada Lindqvist-Okoye",
                "brand": "Visa",
                "number": "4111111111111111",
                "expMonth": "7",
                "expYear": "2029",
                "code": "737",
            },
        ),
        item("Alarm code", 2, folder="Home", notes="Front door 4711#", secureNote={"type": 0}),
        item(
            "Ada",
            4,
            identity={
                "title": "Dr",
                "firstName": "Ada",
                "middleName": None,
                "lastName": "Lindqvist-Okoye",
                "address1": "Quay 3",
                "address2": "2nd floor",
                "address3": None,
                "city": "Malmo",
                "state": "Skane",
                "postalCode": "211 19",
                "country": "SE",
                "company": "Harbour Ltd",
                "email": "ada@example.org",
                "phone": "+46 40 555 01 23",
                "ssn": "19800102-9999",
                "username": "ada.lo",
                "passportNumber": "P1234567",
                "licenseNumber": "L7654321",
            },
        ),
        item(
            "Build server",
            5,
            sshKey={
                "privateKey": "-----BEGIN OPENSSH PRIVATE KEY-----\ninvented\n-----END OPENSSH PRIVATE KEY-----\n",
                "publicKey": "ssh-ed25519 AAAAinvented ada@build",
                "keyFingerprint": "SHA256:invented0fingerprint",
            },
        ),
        item("Wi-Fi", 2, folder="Empty", notes="network: seagull\nkey: herring-11", secureNote={"type": 0}),
    ],
    "Bank",
    "Home/Mail",
    "Home",
    "Empty",
    "Unused/Deep",
)


# --- vaults


@contextmanager
def vault(folder: Path) -> Iterator[Store]:
    """Give an empty vault in a folder."""
    with Store.create(folder / "vault.db", os.urandom(32), "test") as store:
        yield store


def opened(data: Export | bytes, name: str = "export.json", **given: Any) -> Source:
    """Return a source as a command opens it."""
    content = data if isinstance(data, bytes) else as_bytes(data)
    return catalog.open_source(Path(name), data=content, **given)


_runs = iter(f"run{n}" for n in range(10**9))


def bring(
    store: Store, data: Export | bytes | Source, now: str = NOW, name: str = "export.json", **given: Any
) -> Outcome:
    """Migrate a file into the vault."""
    source = data if isinstance(data, Source) else opened(data, name)
    return moving.migrate(store, source, run=next(_runs), now=now, **given)


def state(store: Store) -> str:
    """Return a digest of everything a person has in the vault."""
    return digest(store.vault())


def named(store: Store, title: str) -> Any:
    """Return the item of that title."""
    return next(one for one in store.items() if one.title == title)


def changed(data: Export, title: str, change: Callable[[Export], None]) -> Export:
    """Return the export with one item changed."""
    made = copy.deepcopy(data)
    change(next(one for one in made["items"] if one["name"] == title))
    return made
