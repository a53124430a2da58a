"""What is true of a folder after a fault: does the vault open and what is in it, is each backup whole, is a value
readable, is anything left half-written."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyrage

from backup.reading import Opener, check
from tests.faults.running import Keyferry
from vault import canonical
from vault.keys import open_vault
from vault.kit import parse
from vault.store import Store

CANARY = "canary-4711-visible"
_WHOLE: set[str] = set()  # digests of the backups that were found whole
_LEFT = re.compile(r"\.keyferry-(?!target$).*|.*\.(?:new|partial|pending|tmp)|.*-(?:wal|shm|journal)|\..*\.new.*")


def vault_state(keyferry: Keyferry) -> object:
    """Return what the vault holds, read with the key that belongs to it, every page checked."""
    with open_vault(keyferry.home) as store:
        assert store.is_sound(), "a page of the vault cannot be read"
        return contents(store), frozenset(
            (run.digest, run.undone_at is None, bool(run.summary)) for run in store.runs()
        )


def contents(store: Store) -> str:
    """Return all that a vault holds as one text, in which ids, made anew in each run, stand as numbers."""
    vault = store.vault()
    text = canonical.encode(vault).decode()
    ids = [collection.id for collection in vault.collections] + [item.id for item in vault.items]
    for number, id_ in enumerate(ids):
        text = text.replace(f'"{id_}"', f'"#{number}"')
    documents = [(name, hashlib.sha256(store.document(name) or b"").hexdigest()) for name in sorted(store.documents())]
    return f"{text}{documents}"


def sets(root: Path) -> dict[Path, str]:
    """Return all files that bear a backup's name, with their digests."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(root.rglob("*.keyferry"))}


def leaks(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each file in which a value can be read."""
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.parent != root / "given":
            data = path.read_bytes()
            if CANARY.encode() in data or CANARY.encode("utf-16-le") in data:
                yield "other", f"{path.name} shows a value"


def leftovers(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each file that only a half-done run leaves."""
    for path in root.rglob("*"):
        if _LEFT.fullmatch(path.name):
            yield "other", f"{path.relative_to(root)} is left"


def broken_set(keyferry: Keyferry, path: Path) -> str:
    """Return what is wrong with a backup, or nothing: opened with the kit, and every part of it compared."""
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest not in _WHOLE:
        try:
            _open_whole(data, keyferry.root / "kit.txt")
            check(path, opener(keyferry.root / "kit.txt"))
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        _WHOLE.add(digest)
    return ""


def opener(kit_file: Path) -> Opener:
    """Return what a person with nothing but the kit opens and proves backups with."""
    kit = parse(kit_file.read_text())
    return Opener((kit.identity,), (kit.root_public,))


def _open_whole(data: bytes, kit_file: Path) -> None:
    """Decrypt and unpack a backup with nothing of ours, and compare each part with the manifest's digest of it."""
    opened = pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(parse(kit_file.read_text()).identity)])
    with zipfile.ZipFile(io.BytesIO(opened)) as box:
        assert box.testzip() is None
        listed = {part["name"]: part["sha256"] for part in json.loads(box.read("manifest.json"))["members"]}
        assert listed == {name: hashlib.sha256(box.read(name)).hexdigest() for name in listed}
        assert set(box.namelist()) <= {*listed, "manifest.json", "manifest.sig", "padding"}
