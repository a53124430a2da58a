"""What sync costs: ``python -m benchmarks.sync [ITEMS ...]``.

A vault's first sync into a folder; the first one of a device that has just joined; the round that makes a snapshot; the
first one of a device that begins with it; and the bytes of a one-field edit. Processor seconds of this process, each
vault on disk with synchronous FULL.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from vault import device, identity, keys, listmaking, membership
from vault.model import Item
from vault.moment import now
from vault.store import Store
from vault.sync import belonging, joining, log, pairing, recording, session, snapshots, ways
from vault.sync.folder import Folder

KEYFERRY = [sys.executable, str(Path(__file__).resolve().parent.parent / "keyferry.py")]


def main() -> None:
    """Print the table."""
    columns = ("items", "first sync", "new device", "snapshot", "new device by it", "MiB", "one edit")
    print("  ".join(f"{name:>10}" for name in columns))
    for count in map(int, sys.argv[1:] or ["10000", "50000"]):
        with tempfile.TemporaryDirectory(prefix="keyferry-sync-") as place:
            print(row(Path(place), count), flush=True)


def row(place: Path, count: int) -> str:
    """Return the line of one size."""
    export, way = place / "export.json", ways.Way(folder=str(place / "folder"))
    (place / "folder").mkdir()
    for call in (
        [sys.executable, "-m", "benchmarks.exports", "bitwarden", str(export), str(count)],
        [*KEYFERRY, "init", "--home", str(place / "old"), "--key-file", str(place / "old.key")],
        [*KEYFERRY, "migrate", str(export), "--home", str(place / "old")],
    ):
        subprocess.run(call, check=True, capture_output=True)
    with keys.open_vault(place / "old") as store:
        folder = Folder(place / "folder", store.vault_id, kept=ways.Kept(store))
        belonging.begin(store, now())
        first = timed(store, folder)
        joined, own = admitted(store, folder)
        size = edited(store)
        pulled = fetched(place / "new", way, joined, own, count)
        shortened = timed(store, folder, compact=True)
        with keys.open_vault(place / "new") as other:
            timed(other, Folder(place / "folder", other.vault_id, kept=ways.Kept(other)))
        timed(store, folder)
        assert snapshots.newest(store) is not None
        by_snapshot = fetched(place / "newer", way, *admitted(store, folder), count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    seconds = "".join(f"  {one:>9.2f}s" for one in (first, pulled, shortened, by_snapshot))
    return f"{count:>10}{seconds}  {peak:>10}  {size:>8} B"


def fetched(home: Path, way: ways.Way, joined: pairing.Joined, own: device.Device, count: int) -> float:
    """Make the home of a new device and return the processor seconds of its first round."""
    holder = keys.choose_holder(home, key_file=home.with_suffix(".key"))
    made = joining.join_vault(
        home, own, joined, lambda store: joining.begin(store, way, joined), now=now(), holder=holder
    )
    with made:
        seconds = timed(made, Folder(Path(way.folder), made.vault_id, kept=ways.Kept(made)))
        assert made.count() == count, made.count()
    return seconds


def timed(store: Store, folder: Folder, *, compact: bool = False) -> float:
    """Return the processor seconds of one round."""
    begun = time.process_time()
    session.sync(store, folder, lambda: int(time.time() * 1000), compact=compact)
    return time.process_time() - begun


def admitted(store: Store, folder: Folder) -> tuple[pairing.Joined, device.Device]:
    """Enrol a new device without any talk, and return what it is told."""
    own = device.new_device()
    chain = identity.own_chain(store)
    added = listmaking.enrol(chain, own, name="", by=identity.own_device(store).signer, now=now())
    member = membership.read_chain((*chain, added)).member(own.device_id)
    assert member is not None
    longer = belonging.enrol(store, member, added, now())
    timed(store, folder)
    heads = {one: (head.seq, head.hash.hex()) for one, head in log.heads(store.database).items()}
    facts = {"name": "", "kit_recipient": "", "kit_checked_at": "", "old_kits": "[]", "names": {}, "heads": heads}
    return msgspec.convert({**facts, "chain": longer}, pairing.Joined), own


def edited(store: Store) -> int:
    """Change one field of one item and return the size of the entry that says so."""
    item: Item = next(store.items())
    store.put(msgspec.structs.replace(item, title=item.title + "!"), now=now())
    recording.record(store, int(time.time() * 1000))
    own = identity.own_device(store).device_id
    newest = log.get(store.database, own, log.heads(store.database)[own].seq)
    assert newest is not None
    return len(newest.body)


if __name__ == "__main__":
    main()
