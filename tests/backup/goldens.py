"""Makes the sets that are kept in ``samples/backups`` for ever; run once for each version of the format.

    python -m tests.backup.goldens FOLDER [CASE ...]

What was released is never made anew: a set that no longer opens is a defect of ours, not of the set.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import keyferry
from backup import making, reading
from backup.payload import Manifest
from backup.reading import Opener
from vault import keys
from vault.device import new_device
from vault.kitfile import read_kit
from vault.moment import now

SAMPLES = Path(__file__).parents[2] / "samples"
CASES = ("household", "attachments", "recipients", "both_signatures")


def typed(*arguments: str | Path) -> None:
    """Type a command; it must do what it is asked."""
    if (code := keyferry.run([str(one) for one in arguments])) not in (0, 3):
        raise SystemExit(f"{arguments}: exit {code}")


def household(home: Path, folder: Path) -> list[dict[str, object]]:
    """The household, as it came from Bitwarden."""
    typed("migrate", SAMPLES / "bitwarden_json/household.json")
    return [made(home, folder, "kit.txt")]


def attachments(home: Path, folder: Path) -> list[dict[str, object]]:
    """Attachments, an item changed and one in the trash, records set aside, an import taken back."""
    typed("migrate", SAMPLES / "bitwarden_json/with_attachments.zip")
    typed("migrate", SAMPLES / "bitwarden_json/rotten_records.json")
    with keys.open_vault(home) as store:
        first, second, *_ = [item.id for item in store.items(state="active")]
    typed("edit", first, "--set", "title=Renamed", "--generate")
    typed("rm", second)
    typed("migrate", SAMPLES / "lastpass_csv/household.csv")
    with keys.open_vault(home) as store:
        run = store.runs()[-1].id
    typed("undo", run)
    return [made(home, folder, "kit.txt")]


def recipients(home: Path, folder: Path) -> list[dict[str, object]]:
    """A friend's key, a second device that was enrolled and revoked, and a new kit; a set before and a set after."""
    import pyrage

    friend = pyrage.x25519.Identity.generate()
    (folder / "friend.txt").write_text(f"{friend}\n")
    (folder / "kit.txt").rename(folder / "old-kit.txt")
    typed("migrate", SAMPLES / "bitwarden_json/household.json")
    typed("backup", "recipient", "add", str(friend.to_public()), "--name", "Mio")
    phone = new_device()
    with keys.open_vault(home) as store:
        chain = keys.own_chain(store)
        chain = (*chain, keys.enrol(chain, phone, name="phone", by=keys.own_device(store).signer, now=now()))
        with store.transaction():
            keys.write_membership(store, chain)
    found = [made(home, folder, "old-kit.txt", "friend.txt")]
    with keys.open_vault(home) as store:
        chain = keys.own_chain(store)
        chain = (*chain, keys.revoke(chain, phone.device_id, by=keys.own_device(store).signer, now=now()))
        with store.transaction():
            keys.write_membership(store, chain)
    typed("kit", "new", "--kit", folder / "old-kit.txt")
    typed("kit", "save", folder / "kit.txt")
    return [*found, made(home, folder, "kit.txt", "friend.txt")]


def made(home: Path, folder: Path, *identities: str) -> dict[str, object]:
    """Make a set in the folder and return what is to be expected of it for ever."""
    with keys.open_vault(home) as store:
        outcome = making.create(store, home)
        root = keys.own_roots(store)[-1]
    assert outcome.made is not None
    path = folder / outcome.made.name
    Path(outcome.places[0].path).rename(path)
    identity = read_kit((folder / identities[0]).read_bytes(), None).identity
    manifest = reading.check(path, Opener((identity,), (root,))).manifest
    return {"file": path.name, "opens": identities, "root": root.hex(), **expected(manifest)}


def expected(manifest: Manifest) -> dict[str, object]:
    """Return what is to be expected of a set with this manifest."""
    return {
        "set": manifest.set,
        "vault": manifest.vault,
        "counter": manifest.counter,
        "items": manifest.counts.items,
        "content": manifest.content,
        "parts": {part.name: part.sha256 for part in manifest.members},
    }


def make(case: str, folder: Path, home: Path) -> None:
    """Make one case's sets in the folder, in a home of its own."""
    cases: dict[str, Callable[[Path, Path], list[dict[str, object]]]] = {
        "household": household,
        "attachments": attachments,
        "recipients": recipients,
        "both_signatures": recipients,  # the same, its list of devices signed by Ed25519 and ML-DSA-65
    }
    folder.mkdir(parents=True)
    with mock.patch.dict(os.environ, KEYFERRY_HOME=str(home)), mock.patch("platform.node", return_value="laptop"):
        with mock.patch("getpass.getuser", return_value="ada"):
            typed("init", "--key-file", home.with_name(f"{home.name}.key"), "--kit", folder / "kit.txt")
        found = cases[case](home, folder)
    text = json.dumps(found, indent=1) + "\n"
    (folder / "expected.json").write_text(text)


if __name__ == "__main__":
    import tempfile

    for case in sys.argv[2:] or CASES:
        with tempfile.TemporaryDirectory() as place:
            make(case, Path(sys.argv[1]) / case, Path(place) / "home")
