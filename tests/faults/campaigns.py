"""The commands that are struck, each in a small world of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backup import comparing, making
from tests.faults.campaign import Campaign, Command
from tests.faults.oracle import CANARY, broken_set, opener, sets, vault_state
from tests.faults.running import Keyferry, Ran
from tests.migrate.household import as_bytes, export, household, login
from vault.errors import KeyferryError
from vault.keys import has_vault, open_keys, open_vault
from vault.model import Item


def done(ran: Ran) -> Ran:
    """Return a run that ended well."""
    assert ran.code == 0, (ran.code, ran.out, ran.err)
    return ran


def made(keyferry: Keyferry) -> None:
    """Make a vault with a few items, its key in a file, its kit saved."""
    done(keyferry("init", "--key-file", keyferry.root / "key", "--kit", keyferry.root / "kit.txt"))
    done(keyferry("migrate", give(keyferry, "first.json", as_bytes(household()))))


def give(keyferry: Keyferry, name: str, data: bytes) -> Path:
    """Put an export where the oracle looks for no values."""
    folder = keyferry.root / "given"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


def more(keyferry: Keyferry) -> None:
    """Put a second export beside a vault."""
    made(keyferry)
    items = [login(f"Site {n}", f"user{n}", f"{CANARY}-{n}", notes=f"{CANARY} note") for n in range(12)]
    give(keyferry, "second.json", as_bytes(export(items)))


def migrate_second(keyferry: Keyferry) -> Sequence[str | Path]:
    """Bring the second export into the vault."""
    return "migrate", keyferry.root / "given" / "second.json"


def key_and_state(keyferry: Keyferry) -> object:
    """Return what the vault holds and which of two keys it has."""
    state = vault_state(keyferry)
    with open_keys(keyferry.home) as opened:
        return state, opened.key == _old_key(keyferry)


def _old_key(keyferry: Keyferry) -> bytes:
    from vault.keyholders import read_key_file

    return read_key_file(keyferry.root / "given" / "old.key")


def with_old_key(keyferry: Keyferry) -> None:
    """Make a vault and remember its key."""
    made(keyferry)
    path = give(keyferry, "old.key", (keyferry.root / "key").read_bytes())
    path.chmod(0o600)


def backed_up(keyferry: Keyferry) -> None:
    """Make a vault with two targets, two older sets at each, and something new that no set holds."""
    made(keyferry)
    done(keyferry("backup", "target", "add", keyferry.root / "stick" / "sets"))
    done(keyferry("backup", "create"))
    done(keyferry("add", "note", "--title", "A second set"))
    done(keyferry("backup", "create"))
    done(keyferry("add", "note", "--title", "Something new"))


def sets_missing(keyferry: Keyferry) -> str:
    """Return which target has no set of the vault as it is now."""
    with open_vault(keyferry.home) as store:
        now = store.vault().items
    folders = (keyferry.home / "backups", keyferry.root / "stick" / "sets")
    return ", ".join(str(folder) for folder in folders if not any(_holds(keyferry, path, now) for path in sets(folder)))


def _holds(keyferry: Keyferry, path: Path, items: tuple[Item, ...]) -> bool:
    try:
        return comparing.of_set(path, opener(keyferry.root / "kit.txt")).items == items
    except KeyferryError:
        return False


def all_sets_are_known(keyferry: Keyferry) -> None:
    """Raise unless every file of every target is as the vault remembers it."""
    found = keyferry("backup", "verify", "--all", "--json")
    if found.code:
        bad = [one for one in json.loads(found.out or "[]") if one["verdict"] != "good"]
        raise AssertionError(f"{bad} {found.err}")


def create(_: Keyferry) -> Sequence[str]:
    """Make a set."""
    return "backup", "create"


def with_many_sets(keyferry: Keyferry) -> None:
    """Make a vault whose two targets hold more sets than the policy keeps."""
    made(keyferry)
    done(keyferry("backup", "target", "add", keyferry.root / "stick" / "sets"))
    now = datetime.now(UTC).replace(microsecond=0)
    for hours in (80, 79, 56, 55, 32, 31, 5, 4, 3, 2, 1):
        with open_vault(keyferry.home) as store:
            at = (now - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
            making.create(store, keyferry.home, clock=lambda at=at: at)  # type: ignore[misc]


def sets_too_many(keyferry: Keyferry) -> str:
    """Return how many sets a prune would remove."""
    told = json.loads(done(keyferry("backup", "prune", "--dry-run", "--json")).out)
    return ", ".join(made["id"] for one in told for made in one["removed"])


def damaged(keyferry: Keyferry) -> None:
    """Make two targets with two sets, one of them damaged at one target and one gone from the other."""
    backed_up(keyferry)
    first = sorted((keyferry.root / "stick" / "sets").glob("*.keyferry"))[0]
    second = sorted((keyferry.home / "backups").glob("*.keyferry"))[1]
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    second.unlink()


def sets_in_trouble(keyferry: Keyferry) -> str:
    """Return the files that are gone or do not open."""
    names = {path.name for path in keyferry.root.rglob("*.keyferry")}
    folders = (keyferry.home / "backups", keyferry.root / "stick" / "sets")
    paths = [folder / name for folder in folders for name in names]
    return ", ".join(path.name for path in paths if not path.exists() or broken_set(keyferry, path))


def lost(keyferry: Keyferry) -> None:
    """Leave nothing of a vault but a folder of backups and the kit."""
    backed_up(keyferry)
    done(keyferry("backup", "create"))
    shutil.rmtree(keyferry.home)
    for path in keyferry.root.glob("key*"):
        path.unlink()


def vault_or_none(keyferry: Keyferry) -> object:
    """Return what the vault holds, or nothing if there is none."""
    return vault_state(keyferry) if has_vault(keyferry.home) else None


def restore_new(keyferry: Keyferry) -> Sequence[str | Path]:
    """Make the vault again from the newest set."""
    own = ("--kit", keyferry.root / "kit.txt", "--key-file", keyferry.root / "key")
    return "restore", keyferry.root / "stick" / "sets", "--into", "new", *own


def is_a_vault_like_any(keyferry: Keyferry) -> None:
    """Raise unless the vault is in order, can be changed and backed up."""
    done(keyferry("add", "note", "--title", "After the fault"))
    done(keyferry("backup", "create"))
    all_sets_are_known(keyferry)


def changed_since(keyferry: Keyferry) -> None:
    """Make a backup, then change the vault in all ways: new, edited and purged items."""
    more(keyferry)
    done(keyferry("backup", "target", "add", keyferry.root / "stick" / "sets"))
    done(keyferry("add", "note", "--title", "Purged later"))
    done(keyferry("add", "note", "--title", "Edited later"))
    done(keyferry("backup", "create"))
    done(keyferry("rm", "Purged later", "--purge", "--yes"))
    done(keyferry("edit", "Edited later", "--set", "title=Edited"))
    done(keyferry(*migrate_second(keyferry)))


def restore_into(mode: str) -> Command:
    """Return the command that brings the oldest set into the vault."""

    def command(keyferry: Keyferry) -> Sequence[str | Path]:
        return "restore", min(sets(keyferry.root / "stick")), "--into", mode

    return command


def synced(keyferry: Keyferry) -> None:
    """Make a vault that is synced through a folder, with changes that are there and one that is not."""
    made(keyferry)
    (keyferry.root / "sync").mkdir()
    done(keyferry("sync", "--folder", keyferry.root / "sync"))
    for number in range(3):
        done(keyferry("add", "note", "--title", f"Note {number}"))
        done(keyferry("sync"))
    done(keyferry("add", "note", "--title", "Not sent yet"))


def first_entries(keyferry: Keyferry) -> str:
    """Return the first entries of logs in the folder, which are there until a snapshot stands for them."""
    return ", ".join(path.name for path in (keyferry.root / "sync").glob("keyferry-*/log/*/000000000001-*"))


def can_be_had_from_the_folder(keyferry: Keyferry) -> None:
    """Raise unless somebody with nothing but the kit gets all of it from the folder."""
    with open_vault(keyferry.home) as store:
        vault_id, wanted = store.vault_id, sorted(item.title for item in store.items())
    other = keyferry.root / "other"
    call = ("device", "join", "--kit", keyferry.root / "kit.txt", "--vault", vault_id)
    way = ("--folder", keyferry.root / "sync", "--key-file", keyferry.root / "other.key")
    done(keyferry(*call, *way, "--home", other))
    with open_vault(other) as store:
        assert sorted(item.title for item in store.items()) == wanted
    done(keyferry("sync"))


BACKUP = Campaign(
    "backup create", backed_up, create, missing=sets_missing, failing=(5, 40, 41), after=all_sets_are_known
)
PRUNE = Campaign(
    "backup prune",
    with_many_sets,
    lambda _: ("backup", "prune"),
    missing=sets_too_many,
    after=all_sets_are_known,
)
REPAIR = Campaign(
    "backup verify --repair",
    damaged,
    lambda _: ("backup", "verify", "--all", "--repair"),
    missing=sets_in_trouble,
    failing=(5, 40, 41),
    after=all_sets_are_known,
)
RESTORE = Campaign(
    "restore --into new",
    lost,
    restore_new,
    state=vault_or_none,
    again_codes=(0, 22),
    after=is_a_vault_like_any,
)
MERGE = Campaign("restore --into merge", changed_since, restore_into("merge"), after=all_sets_are_known)
REPLACE = Campaign("restore --into replace", changed_since, restore_into("replace"), after=all_sets_are_known)
MIGRATE = Campaign("migrate", more, migrate_second, after=is_a_vault_like_any)
ROTATE = Campaign("key rotate", with_old_key, lambda _: ("key", "rotate"), state=key_and_state, failing=(40, 41))
COMPACT = Campaign(
    "sync compact",
    synced,
    lambda _: ("sync", "compact"),
    missing=first_entries,
    failing=(40, 41, 55, 56),
    after=can_be_had_from_the_folder,
)

CAMPAIGNS = (BACKUP, PRUNE, REPAIR, RESTORE, MERGE, REPLACE, MIGRATE, ROTATE, COMPACT)
