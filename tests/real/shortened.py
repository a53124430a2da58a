"""A vault with a log that was made shorter, its devices and its relay processes of their own.

    python -m tests.real.shortened [ROLE-SWITCH[-AIM] ...]

tells every lie of ``tests.vault.sync.lies`` over HTTPS to ``keyferry`` processes, and what each said. It takes some ten
minutes; the default suite tells some of them.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.real.test_evil_relay import ROOT, World, free_port, pair
from tests.vault.sync import lies
from tests.vault.sync.lies import BEHIND, KIT, NEW, OLD, Said
from vault.relay import tls

HOMES = ("laptop", "desk")
NEWCOMER = "tablet"
WHOLE, DROPPED = "whole.db", "relay.db"
NOTE = 30_000  # characters; so the snapshot has three parts
NOTES = 80


@dataclass(frozen=True)
class Stages:
    """The vault without any snapshot; with two, of which the desk lacks the newest; and with both seen by all."""

    long: World
    behind: World
    short: World


def export(path: Path) -> Path:
    """Write an export with so much in it that a snapshot has several parts."""
    items = [
        {
            "id": f"{number:08}",
            "type": 2,
            "name": f"note {number}",
            "notes": f"{number} " + "word " * (NOTE // 5),
            "secureNote": {"type": 0},
        }
        for number in range(NOTES)
    ]
    path.write_text(json.dumps({"encrypted": False, "folders": [], "items": items}))
    return path


def begun(place: Path) -> World:
    """Make laptop and desk in step through an honest relay, without a snapshot; a kit lies beside them."""
    world = World(place, free_port())
    place.mkdir()
    world.well("laptop", "init", "--key-file", str(place / "laptop.key"), "--kit", str(place / "kit.txt"))
    world.well("laptop", "migrate", str(ROOT / "samples" / "onepassword_1pux" / "attachments.1pux"))
    world.well("laptop", "migrate", str(export(place / "notes.json")))
    with world.relay(kind="evil_snapshots", db=WHOLE):
        joined, printed = pair(world)
        assert joined.returncode == 0, joined.stdout + printed
        agree(world)
    return world


def agree(world: World) -> None:
    """Let both sync until nothing is left to say."""
    for home in (*HOMES, "laptop", "desk"):
        world.well(home, "sync")


def copied(world: World, place: Path) -> World:
    """Return the same world elsewhere, its keys included."""
    place.mkdir(exist_ok=True)
    for path in world.place.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, place / path.name)
    for settings in place.glob("*/vault.json"):
        settings.write_text(settings.read_text().replace(str(world.place), str(place)))
    return World(place, world.port)


def stages(place: Path) -> Stages:
    """Make the vault at three times."""
    world = begun(place / "begun")
    long = _ended(world, place / "long")
    with world.relay(kind="evil_snapshots", db=WHOLE):
        compact(world)
        world.well("laptop", "edit", "note 1", "--set", "title=changed")
        world.well("laptop", "sync", "compact")
    behind = _ended(world, place / "behind")
    with world.relay(kind="evil_snapshots", db=WHOLE):
        agree(world)
    return Stages(long, behind, _ended(world, place / "short"))


def short(world: World, place: Path) -> World:
    """Make a copy of a vault without a snapshot, let it have one, and go on."""
    made = copied(world, place / "compacted")
    with made.relay(kind="evil_snapshots", db=WHOLE):
        compact(made)
    return _ended(made, place / "short")


def compact(world: World) -> None:
    """Let the laptop make a snapshot and both see it."""
    world.well("laptop", "sync", "compact")
    agree(world)


def _ended(world: World, place: Path) -> World:
    """Return a copy in which the laptop went on, and the desk has a change that nobody has."""
    made = copied(world, place)
    with made.relay(kind="evil_snapshots", db=WHOLE):
        for number in range(2):
            made.well("laptop", "add", "login", "--title", f"Of the laptop {number}", "--set", "username=one")
            made.well("laptop", "sync")
    for path in place.glob(f"{WHOLE}*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, place / path.name.replace(WHOLE, DROPPED))
    db = str(place / DROPPED)
    before, until = count(db, "kind > 1"), time.monotonic() + 30
    with made.relay(db=DROPPED):  # the honest one drops at its start
        while count(db, "kind = 3") and count(db, "kind > 1") == before and time.monotonic() < until:
            time.sleep(0.02)
    made.well("desk", "add", "login", "--title", "Of the desk", "--set", "username=three")
    return made


def count(db: str, where: str) -> int:
    """Return how many rows of its entries' table a relay has."""
    if "://" not in db:
        with closing(sqlite3.connect(db)) as file:
            return int(file.execute(f"SELECT count(*) FROM entries WHERE {where}").fetchone()[0])
    import psycopg

    with psycopg.connect(db) as server:
        row = server.execute(f"SELECT count(*) FROM keyferry.entries WHERE {where}").fetchone()
        return int(row[0]) if row else 0


def tell(world: World, role: str, switch: str, aim: str) -> tuple[int, str]:
    """Tell a device a lie; return its exit code and what it says."""
    db = WHOLE if switch in lies.OF_SNAPSHOTS else DROPPED
    more = ["--aim", aim] if aim else []
    if role == NEW:
        more += ["--spare", world.device("laptop")]
    with world.relay(switch, *more, kind="evil_snapshots", db=db):
        if role == NEW:
            joined, _ = pair(world, join=NEWCOMER)
            return joined.returncode, joined.stdout
        done = join_by_kit(world) if role == KIT else world.run("desk", "sync")
    return done.returncode, done.stdout + done.stderr


def join_by_kit(world: World, home: str = NEWCOMER) -> subprocess.CompletedProcess[str]:
    """Let a device join by nothing but the kit."""
    pin = tls.pin_of(tls.own_certificate(world.place / "relay", "127.0.0.1", datetime.now(UTC))[0])
    vault = json.loads((world.place / "laptop" / "vault.json").read_text())["vault"]
    way = ("--relay", f"https://127.0.0.1:{world.port}", "--pin", pin, "--vault", vault)
    key = str(world.place / f"{home}.key")
    return world.run(home, "device", "join", "--kit", str(world.place / "kit.txt"), *way, "--key-file", key)


def goes_on(world: World, role: str, switch: str) -> None:
    """Let the honest relay come back, and check that nothing is missing on any device."""
    name = "desk" if role in (OLD, BEHIND) else NEWCOMER
    with world.relay(kind="evil_snapshots", db=WHOLE if switch in lies.OF_SNAPSHOTS else DROPPED):
        if not (world.place / name / "vault.db").exists():
            joined = join_by_kit(world) if role == KIT else pair(world, join=name)[0]
            assert joined.returncode == 0, joined.stdout + joined.stderr
        for home in (name, "laptop", name, "laptop", name):
            world.well(home, "sync")
    assert world.content(name) == world.content("laptop")
    assert world.documents(name) == world.documents("laptop")
    titles = world.well(name, "list")
    assert "Of the laptop 1" in titles
    assert "Of the desk" in titles or role in (NEW, KIT)


def check(made: Stages, place: Path, role: str, switch: str, aim: str, said: Said) -> str:
    """Tell a lie in a copy and check what is said and what stays; return the first sentence."""
    stage = made.long if switch == "drops_before_a_snapshot" else made.behind if role == BEHIND else made.short
    world = copied(stage, place)
    before = {home: world.content(home) for home in HOMES}
    code, words = tell(world, role, switch, aim)
    assert code == said[0], (code, words)
    assert re.search(_loosely(said[1]), words), words
    told = next((line for line in words.splitlines() if re.match("warning|error", line)), "nothing that is wrong")
    assert "Traceback" not in words
    assert before["laptop"] == world.content("laptop")
    assert set(map(_id, before["desk"])) <= set(map(_id, world.content("desk")))
    goes_on(world, role, switch)
    return told


def _loosely(words: str) -> str:
    """Return the pattern for a command's output, where a hint stands on a line of its own, and of one attachment."""
    return words.replace("; ", "[;\\s].*").replace(".*", "(?s:.*)")


def _id(item: bytes) -> str:
    return str(json.loads(item)["id"])


def main(arguments: Sequence[str]) -> int:
    """Tell all lies, or those that are named."""
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="keyferry-lies-") as folder:
        made = stages(Path(folder))
        for number, (role, switch, aim, said) in enumerate(lies.cases()):
            name = "-".join(filter(None, (role, switch, aim)))
            if arguments and name not in arguments:
                continue
            place = Path(folder) / f"{number}"
            try:
                print(f"{name}: {said[0]}: {check(made, place, role, switch, aim, said)}", flush=True)
            except AssertionError as error:
                wrong += 1
                print(f"{name}: WRONG: {str(error)[:600]}", flush=True)
            shutil.rmtree(place, ignore_errors=True)
    print(f"{wrong} are wrong" if wrong else "each is named, and nothing is lost")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
