"""The floor of each job: what a bare Python program needs that does the least that could be called the same.

Run as ``python floors.py JOB ARGUMENTS``; prints a digest of what it made, so that nobody can win by doing less.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def into_vault(source: str, folder: str) -> str:
    """Put each record of a Bitwarden JSON as a row into a new SQLCipher file, one transaction, synchronous FULL."""
    return _filled(Path(folder) / "floor.db", json.loads(Path(source).read_bytes())["items"])


def _filled(path: Path, items: Iterable[dict[str, Any]]) -> str:
    from sqlcipher3 import dbapi2

    db = dbapi2.connect(str(path), isolation_level=None)
    db.execute(f"PRAGMA key = \"x'{'11' * 32}'\"")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, body BLOB)")
    db.execute("CREATE VIRTUAL TABLE words USING fts5(text, tokenize='trigram')")
    db.execute("BEGIN")
    for number, item in enumerate(items):
        login = item["login"]
        db.execute("INSERT INTO items VALUES (?, ?)", (number, json.dumps(item)))
        words = " ".join((item["name"], login["username"], login["uris"][0]["uri"], item["notes"] or ""))
        db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (number, words))
    db.execute("COMMIT")
    return str(db.execute("SELECT count(*) FROM items").fetchone()[0])


def csv_to_json(source: str, dest: str) -> str:
    """Write a LastPass CSV as Bitwarden JSON, column by column."""
    items = []
    with open(source, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            login = {"uris": [{"uri": row["url"]}], "username": row["username"], "password": row["password"]}
            items.append({"type": 1, "name": row["name"], "notes": row["extra"], "login": login})
    text = json.dumps({"encrypted": False, "folders": [], "items": items}, indent=2)
    Path(dest).write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_rows(folder: str) -> str:
    """Open the floor's own file and read every row."""
    from sqlcipher3 import dbapi2

    db = dbapi2.connect(str(Path(folder) / "floor.db"), isolation_level=None)
    db.execute(f"PRAGMA key = \"x'{'11' * 32}'\"")
    titles = [json.loads(body)["name"] for (body,) in db.execute("SELECT body FROM items ORDER BY id")]
    return hashlib.sha256("\n".join(titles).encode()).hexdigest()[:12]


def seal_rows(folder: str) -> str:
    """Back the floor's own rows up: a ZIP of them, encrypted, flushed, read from the disk, decrypted, compared."""
    import io
    import os
    import zipfile

    import pyrage

    identity = pyrage.x25519.Identity.generate()
    (Path(folder) / "floor.key").write_text(str(identity))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.jsonl", b"\n".join(_rows(folder)))
    sealed = Path(folder) / "floor.age"
    with sealed.open("wb") as file:
        file.write(pyrage.encrypt(made.getvalue(), [identity.to_public()]))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    back = pyrage.decrypt(sealed.read_bytes(), [identity])
    if back != made.getvalue():
        raise SystemExit("the disk gives back something else")
    return hashlib.sha256(back).hexdigest()[:12]


def unseal_rows(folder: str) -> str:
    """Put the rows that ``seal_rows`` has backed up into a new SQLCipher file, one transaction, synchronous FULL."""
    import io
    import zipfile

    import pyrage

    identity = pyrage.x25519.Identity.from_str((Path(folder) / "floor.key").read_text())
    made = pyrage.decrypt((Path(folder) / "floor.age").read_bytes(), [identity])
    lines = zipfile.ZipFile(io.BytesIO(made)).read("rows.jsonl").splitlines()
    return _filled(Path(folder) / "restored.db", map(json.loads, lines))


def _rows(folder: str) -> list[bytes]:
    from sqlcipher3 import dbapi2

    db = dbapi2.connect(str(Path(folder) / "floor.db"), isolation_level=None)
    db.execute(f"PRAGMA key = \"x'{'11' * 32}'\"")
    return [body.encode() for (body,) in db.execute("SELECT body FROM items ORDER BY id")]


def nothing() -> str:
    """Start click and print a help page."""
    import click

    @click.group()
    def door() -> None:
        """Help."""

    return str(len(door.get_help(click.Context(door))))


if __name__ == "__main__":
    print(globals()[sys.argv[1]](*sys.argv[2:]))
