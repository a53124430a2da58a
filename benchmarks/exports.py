"""Invented exports of any size, the same for the same seed."""

from __future__ import annotations

import csv
import json
import random
import sys
import uuid
from pathlib import Path
from typing import Any

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&/()=?,;"


def bitwarden(path: Path, n: int) -> None:
    """Write a personal Bitwarden export of ``n`` logins in 50 folders."""
    rng = random.Random(1)
    folders = [{"id": _uuid(rng), "name": f"Folder {i}" if i % 5 else f"Work/Team {i}"} for i in range(50)]
    items = [_item(rng, i, folders[i % 50]["id"]) for i in range(n)]
    path.write_text(json.dumps({"encrypted": False, "folders": folders, "items": items}, indent=2), encoding="utf-8")


def _item(rng: random.Random, i: int, folder: str) -> dict[str, Any]:
    seed = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    code = f"otpauth://totp/Site%20{i}:user{i}?secret={seed}&issuer=Site%20{i}&digits=6&period=30"
    past = [{"lastUsedDate": "2024-02-03T04:05:06.000Z", "password": f"old{i}"}]
    field = {"name": "PIN", "value": f"{i:06d}", "type": 1, "linkedId": None}
    return {
        "passwordHistory": past if i % 3 == 0 else None,
        "revisionDate": "2024-02-03T04:05:06.123Z",
        "creationDate": "2024-01-02T03:04:05.123Z",
        "deletedDate": None,
        "id": _uuid(rng),
        "organizationId": None,
        "folderId": folder if i % 5 else None,
        "type": 1,
        "reprompt": 0,
        "name": f"Site number {i}",
        "notes": f"some notes here {i}\nsecond line" if i % 2 else None,
        "favorite": i % 7 == 0,
        "fields": [field] if i % 4 == 0 else [],
        "login": {
            "fido2Credentials": [],
            "uris": [{"match": None, "uri": f"https://site{i}.example.org/login"}],
            "username": f"user{i}@example.org",
            "password": _password(rng),
            "totp": code if i % 10 == 0 else None,
        },
        "collectionIds": None,
    }


def lastpass(path: Path, n: int) -> None:
    """Write a LastPass export of ``n`` logins."""
    rng = random.Random(2)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("url", "username", "password", "totp", "extra", "name", "grouping", "fav"))
        for i in range(n):
            note = f"some notes here {i}\nsecond line" if i % 2 else ""
            rows.writerow(
                (
                    f"https://site{i}.example.org/login",
                    f"user{i}@example.org",
                    _password(rng),
                    "",
                    note,
                    f"Site number {i}",
                    f"Work\\Team {i % 50}",
                    int(i % 7 == 0),
                )
            )


def _password(rng: random.Random) -> str:
    return "".join(rng.choices(LETTERS, k=18))


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128)))


if __name__ == "__main__":
    {"bitwarden": bitwarden, "lastpass": lastpass}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
