"""Bad files, made when they are needed: nothing large and nothing hostile lies in the repository."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from typing import Any

from tests.bad_input.terminal import SECRET


def login(title: str = "My bank", password: str = SECRET, **more: Any) -> dict[str, Any]:
    """Return a login as Bitwarden writes it."""
    inside = {"uris": [{"match": None, "uri": "https://example.org"}], "username": "ada", "password": password}
    return {"type": 1, "name": title, "login": inside, **more}


def bitwarden(*items: Any, **beside: Any) -> bytes:
    """Return a Bitwarden export; one login if no items are given."""
    return json.dumps({"encrypted": False, "folders": [], **beside, "items": list(items or [login()])}).encode()


def household(count: int = 12) -> bytes:
    """Return a Bitwarden export long enough to be cut anywhere."""
    return bitwarden(*(login(f"Item {n}", f"{SECRET}-{n}", notes="two\nlines") for n in range(count)))


def chrome(*rows: str) -> bytes:
    """Return a table as Chrome writes it."""
    return "\n".join(["name,url,username,password,note", *rows, ""]).encode()


def onepux(*items: Any, **members: bytes) -> bytes:
    """Return a 1Password 8 export; one login if no items are given."""
    vault = {"attrs": {"uuid": "v", "name": "Private", "type": "P"}, "items": list(items or [onepux_login()])}
    account = {"attrs": {"accountName": "Ada", "uuid": "a"}, "vaults": [vault]}
    attributes = {"version": 3, "description": "1Password Unencrypted Export", "createdAt": 1700000000}
    data = {"export.attributes": attributes, "export.data": {"accounts": [account]}}
    return packed({**{name: json.dumps(value).encode() for name, value in data.items()}, **members})


def onepux_login(title: str = "My bank", password: str = SECRET, **more: Any) -> dict[str, Any]:
    """Return a login as 1Password writes it."""
    fields = [
        {"name": "username", "value": "ada@example.org", "fieldType": "T", "designation": "username"},
        {"name": "password", "value": password, "fieldType": "P", "designation": "password"},
    ]
    return {
        "uuid": title,
        "favIndex": 0,
        "createdAt": 1700000000,
        "updatedAt": 1700000000,
        "state": "active",
        "categoryUuid": "001",
        "details": {"loginFields": fields, "notesPlain": "two\nlines", "sections": [], "passwordHistory": []},
        "overview": {"title": title, "url": "https://example.org", "tags": []},
        **more,
    }


def packed(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP file."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return memory.getvalue()


def bomb() -> bytes:
    """Return a ZIP file of some kilobytes that unpacks to 40 MiB of nothing."""
    return packed({"export.data": bytes(40 << 20), "export.attributes": b"{}"})


def liar() -> bytes:
    """Return a ZIP file with a member that says it is small and is not."""
    honest = packed({"export.data": bytes(4 << 20), "export.attributes": b"{}"})
    size = struct.pack("<I", 4 << 20)
    assert honest.count(size) == 2
    return honest.replace(size, struct.pack("<I", 100))


def million(claimed: int | None = None) -> bytes:
    """Return a ZIP file with 1,000,000 members in its list, though its end claims as many as given."""
    count = 1_000_000
    name = b"export.data"
    local = b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0) + name
    entry = b"PK\x01\x02" + struct.pack("<HHHHHH", 20, 20, 0, 0, 0, 33) + bytes(12)
    entry += struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0) + name
    listed = entry * count
    at = len(local)
    wide = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, len(listed), at)
    finder = b"PK\x06\x07" + struct.pack("<IQI", 0, at + len(listed), 1)
    if claimed is not None:
        wide = finder = b""
    few = 0xFFFF if claimed is None else claimed
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, few, few, len(listed), at, 0)
    return local + listed + wide + finder + end


def entity_bomb() -> bytes:
    """Return an XML file that would grow to gigabytes if its entities were put in."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><KeePassFile>&e9;</KeePassFile>'.encode()


def cut(data: bytes, tenths: int) -> bytes:
    """Return the first tenths of a file."""
    return data[: len(data) * tenths // 10]
