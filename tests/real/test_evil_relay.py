"""A relay that lies, over real HTTPS to real client processes: what each client says, and that nothing is lost.

Two devices are paired through an honest relay; then each switch of ``tests.evil_relay`` gets a copy of homes and
database. The oracle is the sentence the client prints, its exit code, and the vaults: after the lie each holds what it
held, and with the honest relay back both become the same.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.evil_relay import EvilRelay
from vault import canonical, keys

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
KEYFERRY = [PYTHON, str(ROOT / "keyferry.py")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

TELLS: dict[str, tuple[int, str]] = {
    "t1_member_key": (5, "altered|does not hold|not built|does not belong"),
    "t1_stranger": (0, "synced"),  # it is kept aside like any entry that follows nothing, and counts for nothing
    "t2_rolled_back": (56, "shows less than before"),
    "t4_other_history": (56, "another history"),
    "t5_withholds": (5, "has entries of .* and does not give them whole"),
    "t6_shuffled": (0, "synced"),
    "t7_header": (5, "altered|does not hold|not built|does not belong|another vault"),
    "t7_ciphertext": (5, "was altered"),
    "t7_signature": (5, "signature that does not hold"),
    "t8_cut_and_paste": (5, "signature that does not hold|was altered"),
    "t8_other_vault": (5, "another vault"),
    "t9_weaker_suite": (5, "signature that does not hold"),
    "t9_other_version": (5, "of another version"),
    "t16_wiped": (56, "no longer has this vault"),
    "drops_what_it_takes": (56, "has taken what this device sent and does not show it"),
    "blob_altered": (5, "attachment was altered"),
    "blob_gone": (5, "does not give an attachment that an entry names"),
    "endless": (56, "does not give it"),
    "t20_huge": (5, "not built as entries are|too large"),
    "garbage": (56, "not built as answers are"),
    "redirect": (55, "refuses"),
    "broken": (55, "refuses"),
}


@dataclass(frozen=True)
class World:
    """Two homes, a relay's database, and the port all of them know."""

    place: Path
    port: int
    environment: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)

    def run(self, device: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command on one device."""
        call = [*KEYFERRY, *arguments, "--home", str(self.place / device)]
        return subprocess.run(call, capture_output=True, text=True, env=self.environment, cwd=ROOT, timeout=120)

    def well(self, device: str, *arguments: str) -> str:
        """Run a command that must end well, and return what it prints."""
        done = self.run(device, *arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def content(self, device: str) -> list[bytes]:
        """Return the canonical items of a device."""
        with keys.open_vault(self.place / device, read_only=True) as store:
            return sorted(canonical.canonical(item) for item in store.items())

    def device(self, home: str) -> str:
        """Return the id of a home's device."""
        told = json.loads(self.well(home, "sync", "status", "--json"))
        return str(next(one["id"] for one in told["devices"] if one["this"]))

    def documents(self, device: str) -> list[str]:
        """Return the names of a device's attachments."""
        with keys.open_vault(self.place / device, read_only=True) as store:
            return sorted(store.documents())

    @contextmanager
    def relay(
        self, switch: str = "honest", *more: str, kind: str = "evil_relay", db: str = "relay.db"
    ) -> Iterator[None]:
        """Run the relay with a switch."""
        call = [PYTHON, "-m", f"tests.{kind}", switch, "--db", str(self.place / db), *more]
        call += ["--folder", str(self.place / "relay"), "--listen", f"127.0.0.1:{self.port}"]
        process = subprocess.Popen(call, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=ROOT)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on")
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def pair(
    world: World, *, join: str = "desk", way: tuple[str, ...] = ()
) -> tuple[subprocess.CompletedProcess[str], str]:
    """Pair a device with the laptop; return how joining ended and what the laptop printed."""
    through = way or ("--relay", f"https://127.0.0.1:{world.port}")
    inviting = subprocess.Popen(
        [*KEYFERRY, "device", "pair", *through, "--home", str(world.place / "laptop")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
    )
    assert inviting.stdin is not None
    assert inviting.stdout is not None
    printed = ""
    while "code: " not in printed:
        line = inviting.stdout.readline()
        assert line, printed
        printed += line
    code = printed.rpartition("code: ")[2].strip()
    home = world.place / join
    joining = subprocess.Popen(
        [*KEYFERRY, "device", "join", code, *way, "--home", str(home), "--key-file", str(home) + ".key"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
    )
    assert joining.stdout is not None
    told = ""
    while "digits: " not in told and (line := joining.stdout.readline()):
        told += line
    digits = told.rpartition("digits: ")[2].strip() if "digits: " in told else ""
    rest, _ = inviting.communicate(digits + "\n", timeout=60)
    ended, _ = joining.communicate(timeout=60)
    done = subprocess.CompletedProcess([], joining.returncode, told + ended, "")
    return done, printed + rest


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two devices in step, and each with a change that the other does not have yet."""
    world = World(tmp_path_factory.mktemp("evil"), free_port())
    world.well("laptop", "init", "--key-file", str(world.place / "laptop.key"))
    world.well("laptop", "migrate", str(ROOT / "samples" / "onepassword_1pux" / "attachments.1pux"))
    with world.relay():
        joined, _ = pair(world)
        assert joined.returncode == 0, joined.stdout
        world.well("laptop", "add", "login", "--title", "First", "--set", "username=one")
        world.well("laptop", "sync")
        world.well("desk", "sync")
        assert world.content("laptop") == world.content("desk")
        world.well("laptop", "add", "login", "--title", "Second", "--set", "username=two")
        world.well("laptop", "edit", "First", "--set", "username=changed")
        world.well("laptop", "migrate", str(ROOT / "samples" / "onepassword_1pux" / "early_files.1pux"))
        world.well("laptop", "sync")
        phone, _ = pair(world, join="phone")
        assert phone.returncode == 0, phone.stdout
        world.well("desk", "add", "login", "--title", "Of the desk", "--set", "username=three")
    return world


def copied(world: World, place: Path) -> World:
    """Return the same world elsewhere, its keys included."""
    for name in ("laptop", "desk", "relay"):
        shutil.copytree(world.place / name, place / name)
    for path in world.place.glob("*.key*"):
        shutil.copy(path, place / path.name)
    for name in ("laptop", "desk"):
        settings = place / name / "vault.json"
        settings.write_text(settings.read_text().replace(str(world.place), str(place)))
    for path in world.place.glob("relay.db*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, place / path.name)
    return World(place, world.port)


@pytest.mark.slow
@pytest.mark.parametrize("switch", sorted(TELLS))
def test_a_lie_is_named_and_nothing_is_lost(switch: str, paired: World, tmp_path: Path) -> None:
    world = copied(paired, tmp_path)
    before = world.content("desk")
    code, sentence = TELLS[switch]
    with world.relay(switch):
        done = world.run("desk", "sync")
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert re.search(sentence, said), said
    assert "Traceback" not in said
    kept = {json.loads(one)["id"] for one in world.content("desk")}
    assert {json.loads(one)["id"] for one in before} <= kept
    with world.relay():
        for _ in range(2):
            world.run("desk", "sync")
            world.run("laptop", "sync")
        ended = world.run("desk", "sync")
    assert ended.returncode in (0, 5), ended.stdout + ended.stderr
    assert world.content("desk") == world.content("laptop")
    assert world.documents("desk") == world.documents("laptop")
    assert len(world.content("desk")) > len(before)


@pytest.mark.slow
def test_who_stands_between_two_devices_that_pair_is_noticed(paired: World, tmp_path: Path) -> None:
    world = copied(paired, tmp_path)
    with world.relay("t15_between"):
        joined, printed = pair(world, join="tablet")
    assert joined.returncode == 57, joined.stdout + printed
    assert re.search("altered|gave up", joined.stdout + printed)
    assert not (world.place / "tablet" / "vault.db").exists()


@pytest.mark.slow
def test_a_relay_behind_what_was_told_at_pairing_is_refused(paired: World, tmp_path: Path) -> None:
    world = copied(paired, tmp_path)
    with world.relay("t3_behind_the_pins"):
        joined, printed = pair(world, join="tablet")
    assert joined.returncode == 56, joined.stdout + printed
    assert "shows less than before" in joined.stdout


def test_every_switch_has_its_sentence() -> None:
    assert {*TELLS, "t15_between", "t3_behind_the_pins"} == set(EvilRelay.SWITCHES)
    assert len(EvilRelay.SWITCHES) >= 20
