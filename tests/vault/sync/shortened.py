"""A vault whose log was made shorter, at a relay inside the test's own process: the real client, the real endpoints.

What is built once is copied for each test: the vaults of three devices, and the relay's database in four states.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from tests.evil_snapshots import EvilOfSnapshots
from tests.vault.relay.calling import Caller, Clock, running
from tests.vault.sync.world import KIT, Vault, World, a_device
from vault import identity, keys, listmaking, membership, moment
from vault.errors import KeyferryError
from vault.model import File
from vault.relay.app import Relay
from vault.relay.quota import Limits
from vault.relay.sqlite import SqliteStorage
from vault.rows import document_name
from vault.sync import belonging, joining, log, session, snapshots, ways
from vault.sync.client import Client
from vault.sync.https import Answer
from vault.sync.session import Round
from vault.sync.ways import Way

ORIGIN = "https://relay.example"
WAY = Way(relay=ORIGIN, pin="00" * 32)
HOMES = ("laptop", "phone", "desk")
WHOLE, DROPPED, BEFORE = "whole.db", "dropped.db", "before.db"  # nothing dropped; what can be; before any snapshot
PART_BYTES = 2_500  # of states; so the newest snapshot has several parts


class Nearby:
    """What the client takes for its connection."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def request(
        self, method: str, target: str, *, content: bytes | None, headers: dict[str, str], timeout: float
    ) -> Answer:
        answer = self._caller.call(method, target, content or b"", headers)
        return Answer(answer.status, answer.headers, answer.body)

    def close(self) -> None:
        """Nothing is open."""


class RelayWorld(World):
    """Devices that meet at a relay."""

    caller: Caller

    @contextmanager
    def at(self, database: Path, switch: str = "", aim: bytes = b"") -> Iterator[EvilOfSnapshots]:
        """Let the relay run on a database, with a lie; with ``aim`` about entries of that kind."""
        clock = Clock(self.ms / 1000)
        limits = Limits(requests=10**6, entries=10**6)
        with running(
            database.parent, storage=SqliteStorage(database), limits=limits, clock=clock, kind=EvilOfSnapshots
        ) as caller:
            assert isinstance(caller.relay, EvilOfSnapshots)
            caller.relay.switch, caller.relay.aim = switch, aim
            self.caller = caller
            yield caller.relay

    def client(self, **signer: Any) -> Client:
        """The client of a device, or of who has the kit."""
        vault_id = next(iter(self.vaults.values())).store.vault_id
        made = Client(ORIGIN, WAY.pin, vault_id, now_ms=lambda: self.ms, **signer)
        made.close()
        made._http = Nearby(self.caller)  # type: ignore[assignment]
        return made

    def meet(self, name: str, **given: Any) -> Round:
        """Let a device make one round at the relay."""
        self.ms += 1
        return session.sync(self[name].store, self.client(device=a_device(name)), self[name].now_ms, **given)

    def meet_all(self, *names: str) -> None:
        """Let these devices, or all, meet at the relay until nothing is left to say."""
        for _ in range(3):
            for name in names or tuple(self.vaults):
                self.meet(name)

    def let_in(self, name: str, by: str) -> Vault:
        """Let a device in, as pairing does it; its first round is not made yet."""
        inviter, own, now = self[by], a_device(name), self[by].now()
        belonging.begin(inviter.store, now)
        self.meet(by)
        added = listmaking.enrol(inviter.chain(), own, name="", by=a_device(by).signer, now=now)
        member = membership.read_chain((*inviter.chain(), added)).member(own.device_id)
        assert member is not None
        longer = belonging.enrol(inviter.store, member, added, now)
        with inviter.store.transaction():
            identity.name_device(inviter.store, own.device_id, name)
        self.meet(by)
        heads = {one: (head.seq, head.hash.hex()) for one, head in log.heads(inviter.store.database).items()}
        return self._made(name, longer, heads, WAY, inviter.store)

    def fill(self, name: str, word: str, *others: str) -> None:
        """Let a device add some items, one of them with an attachment, and the others, or all, take them in."""
        for number in range(3):
            self[name].add(f"{word} {number}", title=f"{word} title {number}", password=f"{word} secret {number} " * 30)
            self.meet(name)
        data = word.encode() * 100
        self[name].do(lambda store: store.put_document(data))
        self[name].add(f"{word} papers", credentials=(File(id="f", integrity_hash=document_name(data)),))
        self.meet_all(*others)

    def go_on(self) -> None:
        """Let laptop and phone change something that the desk does not have."""
        self["phone"].edit("first 1", title="by the phone")
        self["phone"].add("new of the phone")
        self.meet("phone")
        self.meet("laptop")
        self["laptop"].edit("first 2", title="by the laptop")
        self.meet("laptop")
        self["laptop"].add("new of the laptop")
        for name in ("laptop", "phone", "laptop"):
            self.meet(name)

    def by_kit(self, name: str) -> Vault:
        """Let a device in by nothing but the kit."""
        home, vault_id = self.path / name, self["laptop"].store.vault_id
        holder = keys.choose_holder(home, key_file=self.path / f"{name}.key")

        def by_root(way: Way, vault: str, kit: Any) -> Client:
            return self.client(root=kit.root.ed25519)

        with mock.patch.object(ways, "transport_by_root", by_root):
            store = joining.rejoin_by_kit(
                home, KIT, WAY, vault_id, a_device(name), name, now=moment.from_millis(self.ms), holder=holder
            )
        self.vaults[name] = Vault(self, name, store)
        return self.vaults[name]


@dataclass(frozen=True)
class Stages:
    """The same vault at three times; its stores are closed, a test opens copies.

    ``long``: no snapshot was made. ``behind``: the desk lacks the newest snapshot and the entries it stands for.
    ``short``: all have seen both snapshots. In each the desk lacks what laptop and phone wrote last, and has an edit of
    its own that nobody has.
    """

    long: RelayWorld
    behind: RelayWorld
    short: RelayWorld


def copied(world: RelayWorld, place: Path) -> RelayWorld:
    """Return the same world elsewhere, its stores open."""
    place.mkdir(exist_ok=True)
    for path in world.path.glob("*.db*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, place / path.name)
    made = RelayWorld.__new__(RelayWorld)
    made.path, made.ms, made.vaults = place, world.ms, {}
    vault_id = next(iter(world.vaults.values())).store.vault_id
    for name in world.vaults:
        made.vaults[name] = Vault(made, name, made.opened(name, vault_id))
    return made


def kept(world: RelayWorld, database: str, name: str) -> None:
    """Keep a copy of a relay's database, which nobody has open."""
    for path in world.path.glob(f"{database}*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, world.path / path.name.replace(database, name))


def build(path: Path) -> Stages:
    """Let three devices fill a vault and make its log shorter twice."""
    with mock.patch.object(snapshots, "_PART_BYTES", PART_BYTES):
        world = RelayWorld(path / "begun", "laptop")
        with world.at(path / "begun" / WHOLE):
            belonging.begin(world["laptop"].store, world["laptop"].now())
            for name in HOMES[1:]:
                world.let_in(name, by="laptop")
            world.fill("laptop", "first")
            world.fill("phone", "second")
        kept(world, WHOLE, BEFORE)
        long = _ended(world, path / "long")
        with world.at(path / "begun" / WHOLE):
            world.meet("laptop", compact=True)
            world.meet_all()
            world.fill("laptop", "third", "laptop", "phone")
            world.meet("laptop", compact=True)
            world.meet_all("laptop", "phone")
        behind = _ended(world, path / "behind")
        with world.at(path / "begun" / WHOLE):
            world.meet_all()
        short = _ended(world, path / "short")
    world.close()
    return Stages(long, behind, short)


def _ended(world: RelayWorld, place: Path) -> RelayWorld:
    """Return a copy in which laptop and phone have gone on, and the relay has dropped what it can in one database."""
    for vault in world.vaults.values():
        vault.restarted()  # so that nothing is left beside the files
    made = copied(world, place)
    with made.at(place / WHOLE):
        made.go_on()
    kept(made, WHOLE, DROPPED)
    with made.at(place / DROPPED) as relay:
        Relay.drop_settled(relay)
    made["desk"].edit("first 0", title="by the desk")
    made.close()
    return made


@dataclass(frozen=True)
class Told:
    """What a device said of a round: its exit code, and its words."""

    code: int
    words: str

    @classmethod
    def by(cls, action: Any) -> Told:
        """Do something and return what it says."""
        try:
            done = action()
        except KeyferryError as error:
            return cls(error.exit_code, f"{error.message}; {error.hint}")
        waiting = f"; {done.waiting} entries wait" if done.waiting else ""
        return cls(5 if done.findings else 0, "; ".join(one.sentence for one in done.findings) + waiting)
