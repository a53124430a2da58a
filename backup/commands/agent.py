"""agent: run, install, uninstall, status."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backup.commands.shared import open_vault
from vault.errors import NoVault, VaultBusy
from vault.screen import Session, command

if TYPE_CHECKING:
    from backup.units import Installed

HEALTH = 5
_MOST_SHOWN = 5
_LOCK_SECONDS = 3.0  # whoever asks whether an agent runs holds its lock for a moment


@click.group("agent", help="Make backups by themselves: on a schedule, after changes, when a drive appears.")
def agent() -> None:
    """Hold the commands about the agent."""


@command("run", parent=agent, help="Work in the foreground until interrupted, one line for each thing done.")
def run(session: Session) -> None:
    """Run the agent."""
    from backup.agent import Agent
    from backup.desk import opened
    from backup.schedule import LocalZone
    from backup.watching import Watcher
    from vault import moment

    def log(text: str) -> None:
        at = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
        session.say(f"{at} {text}")
        session.out({"at": at, "text": text})

    _need_vault(session.home)
    with _only_one(session.home):
        found = Agent(
            session.home,
            desk=lambda: opened(session.home, moment.now),
            events=Watcher(say=log),
            wall=lambda: datetime.now(UTC),
            mono=time.monotonic,
            zone=LocalZone(),
            say=log,
        )
        log("the agent begins")
        with _on_signals(found.stop):
            found.run()
        log("the agent ends")


@command("install", parent=agent, help="Start the agent at login from now on.")
def install(session: Session) -> None:
    """Write the units and switch them on."""
    from backup import units

    _check_unattended(session)
    system = units.this_system()
    folder = units.folder_of(system, session.home)
    done = units.install(system, units.program(), session.home, folder)
    for file in done.files:
        session.say(f"wrote {file}")
    if not done.is_done:
        session.say(f"to start it: {_typed(done)}")
    state = "runs, and starts at each login" if done.is_done else "is installed, but could not be started from here"
    session.done(f"the agent {state}")
    session.out(_installed_json(done))


@command("uninstall", parent=agent, help="Stop the agent, and start it no more.")
def uninstall(session: Session) -> None:
    """Switch the units off and remove them."""
    from backup import units

    system = units.this_system()
    done = units.uninstall(system, units.folder_of(system, session.home))
    for file in done.files:
        session.say(f"removed {file}")
    if not done.is_done:
        session.say(f"an agent that is running goes on until logout, or: {_typed(done)}")
    session.done("the agent is no longer installed" if done.files else "no agent was installed")
    session.out(_installed_json(done))


@command("status", parent=agent, help="Say how the backups are; exit code 5 if something is wrong.")
def status(session: Session) -> int:
    """Show the state of the backups."""
    from backup import book as books
    from backup import health, schedule, units

    with open_vault(session, read_only=True) as store:
        book = books.load(store, session.home)
        vault_made = store.meta("made_at") or ""
    now, zone = datetime.now(UTC), schedule.LocalZone()
    here = _here(book)
    wrong = health.wrong(book, here, vault_made, now, zone)
    system = units.this_system()
    made = book.made(book.newest)
    alarms = [one for one in book.alarms if not one.ended]
    past = [one for one in book.alarms if one.ended]
    is_installed = units.is_installed(system, units.folder_of(system, session.home))
    facts: dict[str, Any] = {
        "running": is_running(session.home),
        "installed": is_installed,
        "last_backup": made.made_at if made is not None else None,
        "last_served": book.served_at or None,
        "last_proven_restore": book.proven.at if book.proven is not None else None,
        "schedule": schedule.described(book.schedule),
        "next": _instant_or_none(schedule.next_due(book.schedule, now, zone)),
        "targets": [{"path": one.path, "here": one.id in here} for one in book.targets],
        "alarms": alarms,
        "past_alarms": past,
        "wrong": wrong,
    }
    state = "running" if facts["running"] else "installed, not running" if is_installed else "not installed"
    rows = [
        ("agent", state),
        ("backups are made", facts["schedule"]),
        ("next", facts["next"] or "not by the clock"),
        ("last backup", facts["last_backup"] or "none"),
        ("last proven restore", facts["last_proven_restore"] or "none"),
        *(("target", one.path + ("" if one.id in here else " (not here)")) for one in book.targets),
        *(("past alarm", f"{one.at} {one.text}") for one in past[-_MOST_SHOWN:]),
    ]
    session.table(("what", "state"), rows)
    for text in wrong:
        session.warn(text)
    session.done(f"{len(wrong)} thing{'' if len(wrong) == 1 else 's'} to look after" if wrong else "all is well")
    session.out(facts)
    return HEALTH if wrong else 0


def is_running(home: Path) -> bool:
    """Tell whether an agent for this vault is running."""
    from backup.agent import LOCK
    from vault.files import held

    if not (home / LOCK).exists():
        return False
    try:
        with held(home / LOCK):
            return False
    except VaultBusy:
        return True


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Be the only agent of this vault; raises ``VaultBusy``."""
    from backup.agent import LOCK
    from vault.files import held

    end = time.monotonic() + _LOCK_SECONDS
    while is_running(home) and time.monotonic() < end:
        time.sleep(0.1)
    with held(home / LOCK, "the agent of this vault"):
        yield


@contextmanager
def _on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Let an interrupt, a hang-up and the end of the session end the work in order."""
    import signal

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
    before = [signal.signal(number, lambda *_: stop()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _need_vault(home: Path) -> None:
    from vault.keys import has_vault

    if not has_vault(home):
        raise NoVault(f"there is no vault in {home}", hint="keyferry init makes one, keyferry migrate SOURCE as well")


def _check_unattended(session: Session) -> None:
    """Refuse a vault that cannot be opened while nobody is there."""
    from backup.desk import opened
    from vault import moment
    from vault.errors import KeyringLocked, KeyringUnavailable

    try:
        with opened(session.home, moment.now) as desk:
            plan = desk.book().schedule
    except (KeyringLocked, KeyringUnavailable):
        session.warn("the keyring cannot be opened now; the agent will wait for it")
        return
    if plan.preset == "off" and not plan.on_change and not plan.on_mount:
        session.warn("no schedule is set, so the agent has little to do: keyferry backup schedule daily")


def _here(book: Any) -> frozenset[str]:
    from backup import targets
    from vault.errors import KeyferryError

    found = set()
    for one in book.targets:
        try:
            targets.locate(one)
        except KeyferryError:
            continue
        found.add(one.id)
    return frozenset(found)


def _instant_or_none(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _typed(done: Installed) -> str:
    return " && ".join(done.lines)


def _installed_json(done: Installed) -> dict[str, Any]:
    return {"files": [str(file) for file in done.files], "commands": list(done.lines), "done": done.is_done}
