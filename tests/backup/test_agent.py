"""The agent in a world of its own: weeks go by in a second, and whatever happens, backups are made and stay."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from backup.agent import Agent
from backup.book import Alarm, Book
from backup.desk import opened
from backup.watching import Event, Watcher
from tests.backup.bench import BERLIN, World
from vault import keys, moment
from vault.errors import DamagedVault, DiskFull, KeyringLocked, NoVault, UsageError, VaultBusy


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def since(said: list[str], word: str) -> list[str]:
    return [line for line in said if word in line]


# -- the schedule


def test_the_first_look_makes_the_first_set(world: World) -> None:
    said = world.look()
    assert len(since(said, "made set")) == 1
    assert since(said, "made set")[0].endswith("at 2 targets")
    assert world.files(world.a) == world.files(world.b) != []


def expected(made_at: list[datetime], now: datetime) -> set[datetime]:
    """What the policy says, computed on its own: 24 hours all, 30 days daily, a year weekly, months for ever."""
    kept = {one for one in made_at if now - one <= timedelta(hours=24)}
    for limit, name in ((30, "%Y-%m-%d"), (365, "%G-%V"), (None, "%Y-%m")):
        newest = {one.strftime(name): one for one in sorted(made_at)}
        first = "" if limit is None else (now - timedelta(days=limit)).strftime(name)
        kept |= {one for period, one in newest.items() if period >= first}
    return kept


def holds_exactly_the_policy(world: World) -> bool:
    made = [one.replace(microsecond=0) for one in world.bench.made_at]
    kept = {moment.to_datetime(one.made_at) for one in world.book().sets}
    names = sorted(one.name for one in world.book().sets)
    assert world.files(world.a) == world.files(world.b) == names
    assert world.book().alarms == ()
    assert since(world.said, "failed") == []
    return kept == expected(made, made[-1])


def test_after_hourly_weeks_exactly_the_sets_of_the_policy_are_there(tmp_path: Path) -> None:
    world = World(tmp_path, "hourly", None)
    world.passes(weeks=2, each=world.now_and_then(minutes=50))
    gaps = {later - earlier for earlier, later in pairwise(world.bench.made_at[1:])}
    assert gaps == {timedelta(hours=1)}
    assert holds_exactly_the_policy(world)


@pytest.mark.slow
def test_after_sixty_weeks_of_evenings_exactly_the_sets_of_the_policy_are_there(world: World) -> None:
    """A laptop that is awake a quarter of an hour each day, sometimes before the backup is due."""
    said = world.evenings(420, late=lambda day: (day % 5 - 2) * 0.7)
    assert len(since(said, "made set")) == 420 * 4 / 5  # one evening in five ends too early
    assert holds_exactly_the_policy(world)


def test_nothing_new_makes_no_set(world: World) -> None:
    world.begun()
    said = world.passes(days=5)
    assert len(since(said, "nothing has changed")) == 5
    assert len(world.files(world.a)) == 1
    served = moment.to_datetime(world.book().served_at)
    assert world.clock.wall - served <= timedelta(hours=24, minutes=1)


@pytest.mark.parametrize("hours", [3, 9, 60, 900])
def test_after_a_sleep_one_backup_catches_up(world: World, hours: int) -> None:
    world.begun()
    world.passes(hours=23)
    world.bench.edit()
    world.clock.leaps(hours=hours)
    said = world.look()
    assert said[0].startswith("the machine slept")
    assert len(since(said, "catching up")) == len(since(said, "made set")) == 1
    assert since(world.passes(minutes=50), "made set") == []


def test_a_stopped_process_catches_up_once(tmp_path: Path) -> None:
    """Its monotonic clock runs on."""
    world = World(tmp_path, "* * * * *", None).begun()
    world.passes(minutes=2)
    world.bench.edit()
    world.clock.passes(190)
    said = world.look()
    assert len(since(said, "catching up")) == len(since(said, "made set")) == 1
    assert len(since(world.passes(seconds=59), "nothing has changed")) == 1


def test_a_backup_in_time_is_not_called_catching_up(world: World) -> None:
    assert since(world.begun().passes(days=3), "catching up") == []


@pytest.mark.parametrize("day", [datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)])
def test_each_night_has_one_backup_also_when_the_clocks_change(tmp_path: Path, day: datetime) -> None:
    world = World(tmp_path, "daily", "02:30", now=day, zone=BERLIN).begun()
    said = world.passes(days=3, each=world.now_and_then(hours=6))
    assert len(since(said, "made set")) == 3
    assert len({one.astimezone(BERLIN).date() for one in world.bench.made_at[-3:]}) == 3


def test_a_clock_set_back_is_told_and_the_schedule_goes_on_from_there(world: World) -> None:
    world.begun()
    world.bench.edit()
    world.clock.leaps(days=-3)
    said = world.look()
    assert [line.partition(":")[0] for line in said] == [
        "the clock was set back",
        "the last backup lies in the future",
    ]
    assert len(since(world.passes(days=1), "made set")) == 1


def test_a_clock_set_far_ahead_prunes_nothing_that_day(world: World) -> None:
    world.begun()
    world.passes(days=12, each=world.now_and_then(hours=6))
    before = world.files(world.a)
    world.bench.edit()
    world.clock.leaps(days=900)
    world.look()
    assert set(before) < set(world.files(world.a))
    world.passes(hours=23, each=world.now_and_then(hours=6))
    assert set(before) < set(world.files(world.a))


def test_a_schedule_that_is_off_makes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, "off", None)
    assert since(world.passes(days=2, each=world.now_and_then(hours=6)), "made set") == []


def test_a_schedule_changed_meanwhile_is_kept_at_once(world: World) -> None:
    world.begun()
    plan = msgspec.structs.replace(world.book().schedule, preset="cron", cron="*/5 * * * *", at="")
    world.bench.change(lambda book: msgspec.structs.replace(book, schedule=plan))
    world.bench.edit()
    said = world.passes(minutes=6)
    assert len(since(said, "backups are made every fifth minute") or since(said, "backups are made every 5")) == 1
    assert len(since(said, "made set")) == 1


# -- changes


@pytest.fixture
def follower(tmp_path: Path) -> World:
    world = World(tmp_path, "off", None, on_change=True)
    world.passes(minutes=11)
    world.said.clear()
    return world


def test_a_change_is_backed_up_when_all_is_quiet(follower: World) -> None:
    follower.bench.edit()
    assert since(follower.passes(seconds=50), "made set") == []
    assert len(since(follower.passes(seconds=80), "made set")) == 1
    assert since(follower.passes(hours=2), "made set") == []


def test_changes_without_end_make_a_set_each_ten_minutes(follower: World) -> None:
    said = follower.passes(hours=2, each=follower.now_and_then(seconds=40))
    assert 11 <= len(since(said, "made set")) <= 12
    assert all(later - earlier >= timedelta(minutes=10) for earlier, later in pairwise(follower.bench.made_at))


def test_a_write_that_changes_nothing_makes_no_set(follower: World) -> None:
    follower.bench.write_vault()
    said = follower.passes(hours=1)
    assert said == ["nothing has changed since the newest set"]


def test_its_own_writing_is_no_change(follower: World) -> None:
    follower.bench.edit()
    follower.passes(minutes=5)
    follower.bench.calls.clear()
    follower.look(Event("changed", follower.home / "vault.db"))
    follower.passes(hours=3)
    assert "create" not in follower.bench.calls


def test_what_others_change_during_a_backup_is_backed_up_next(follower: World) -> None:
    follower.bench.edit()

    def edit_once() -> None:
        follower.bench.meanwhile = lambda: None
        follower.bench.edit()

    follower.bench.meanwhile = edit_once
    follower.passes(minutes=30)
    assert follower.book().state == str(follower.bench.content)


def test_what_others_change_just_before_is_backed_up_too(follower: World) -> None:
    """Between the look at the vault's file and its opening."""

    def edit_once() -> None:
        follower.bench.just_before = lambda: None
        follower.bench.edit()

    follower.bench.just_before = edit_once
    follower.agent.step({Event("deleted", delete(follower.newest(follower.a)).path)})
    follower.passes(minutes=30)
    assert follower.book().state == str(follower.bench.content)


def test_without_on_change_changes_wait_for_the_schedule(world: World) -> None:
    world.begun()
    world.bench.edit()
    assert since(world.passes(hours=20), "made set") == []


# -- targets that come and go


def test_a_target_that_comes_back_gets_the_newest_set(tmp_path: Path) -> None:
    world = World(tmp_path, on_mount=True).begun()
    assert any("is missing" in line or "not here" in line for line in world.unplug())
    world.bench.edit()
    world.passes(days=1)
    said = world.plug()
    assert any("is here again" in line for line in said)
    assert any(line.startswith("brought the newest set to") for line in said)
    assert world.newest(world.b).exists()
    assert world.book().alarms == ()


def test_without_on_mount_it_gets_it_at_the_next_backup(world: World) -> None:
    world.begun()
    world.unplug()
    world.bench.edit()
    world.passes(days=1)
    world.plug()
    assert not world.newest(world.b).exists()
    world.passes(days=1)
    assert world.newest(world.b).exists()


def test_a_target_that_is_away_is_told_once_and_is_no_alarm(world: World) -> None:
    world.begun()
    world.unplug()
    said = world.passes(days=7, each=world.now_and_then(hours=6))
    assert since(said, str(world.b)) == []
    assert world.open_alarms() == []


def test_a_removed_folder_is_an_alarm_until_it_is_back(world: World) -> None:
    world.begun()
    os.rename(world.b, world.folder / "aside")
    said = world.look(Event("lost", world.b))
    assert f"alarm: {world.b}: the folder of this backup target was removed" in said
    assert len(world.open_alarms()) == 1
    os.rename(world.folder / "aside", world.b)
    world.look(Event("found", world.b))
    assert world.open_alarms() == []
    assert len(world.book().alarms) == 1


def test_a_drive_whose_mount_point_goes_with_it_is_no_alarm(world: World) -> None:
    world.begun()
    os.rename(world.b, world.folder / "away")
    world.look(Event("unmounted", world.b.parent), Event("lost", world.b))
    assert world.open_alarms() == []


def test_targets_and_vault_are_watched(world: World) -> None:
    world.begun()
    assert world.events.watched == (
        frozenset({world.a, world.b}),
        frozenset({world.home / "vault.db", world.home / "vault.db-wal"}),
    )


# -- what happens to files


def delete(path: Path) -> Event:
    path.unlink()
    return Event("deleted", path)


def truncate(path: Path) -> Event:
    os.truncate(path, 3)
    return Event("changed", path)


def overwrite(path: Path) -> Event:
    before = path.stat()
    path.write_bytes(b"y" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return Event("changed", path)


@pytest.mark.parametrize("harm", [delete, truncate, overwrite])
@pytest.mark.parametrize("which", ["a", "b"])
def test_a_harmed_file_is_an_alarm_and_put_back_from_the_other_target(
    world: World, harm: Callable[[Path], Event], which: str
) -> None:
    world.begun()
    path = world.newest(getattr(world, which))
    body = path.read_bytes()
    said = world.look(harm(path))
    assert said[0].startswith(f"alarm: {path}: ")
    assert said[1].startswith("put back from")
    assert path.read_bytes() == body
    assert [bool(one.ended) for one in world.book().alarms] == [True]
    assert world.look(Event("changed", path)) == []  # its own repair


def test_an_alarm_ends_when_the_newest_set_is_brought_anew(world: World) -> None:
    world.begun()
    world.bench.heals = False
    path = world.newest(world.a)
    world.look(delete(path))
    assert len(world.open_alarms()) == 1
    world.passes(days=1, minutes=1)
    assert path.exists()
    assert world.open_alarms() == []


def test_a_touched_file_is_told_and_kept_in_the_book(world: World) -> None:
    world.begun()
    path = world.newest(world.a)
    os.utime(path, ns=(1, 1))
    assert world.look(Event("changed", path)) == [f"alarm: {path}: somebody touched it; its content is whole"]
    assert world.open_alarms() == []
    assert len(world.book().alarms) == 1
    assert world.look(Event("changed", path)) == []


@pytest.mark.parametrize("harm", [delete, truncate])
def test_where_no_good_copy_is_left_a_new_set_is_made(world: World, harm: Callable[[Path], Event]) -> None:
    world.begun()
    said = world.look(*[harm(world.newest(place)) for place in (world.a, world.b)])
    assert len(since(said, "alarm:")) == 2
    assert len(since(said, "no good copy of 1 set is left; made set")) == 1
    assert world.newest(world.a).exists() and world.newest(world.b).exists()
    assert world.open_alarms() == []
    assert since(world.passes(hours=12), "made") == []


def test_a_new_set_that_cannot_be_made_is_tried_again(world: World) -> None:
    world.begun()
    world.bench.trouble = DiskFull("full")
    world.look(*[delete(world.newest(place)) for place in (world.a, world.b)])
    assert len(world.open_alarms()) == 2
    world.bench.trouble = None
    assert len(since(world.passes(minutes=3), "made set")) == 1
    assert world.open_alarms() == []


def test_what_happened_while_no_agent_ran_is_noticed_at_its_start(world: World) -> None:
    world.begun()
    delete(world.newest(world.b))
    world.start().look()
    assert world.newest(world.b).exists()
    assert len(world.book().alarms) == 1


def test_a_copy_lost_while_its_twin_is_away_is_put_back_when_that_returns(world: World) -> None:
    world.begun()
    world.unplug()
    path = world.newest(world.a)
    world.look(delete(path))
    assert len(world.open_alarms()) == 1
    assert not path.exists()
    world.plug()
    assert path.exists()
    assert world.open_alarms() == []


def test_what_keyferry_does_itself_is_no_alarm(tmp_path: Path) -> None:
    """New sets appear and old ones are pruned, each reported a moment later."""
    world = World(tmp_path, "hourly", None).begun()
    known: set[Path] = set()
    edit = world.now_and_then(minutes=50)

    def reported() -> None:
        nonlocal known
        now = {place / name for place in (world.a, world.b) for name in world.files(place)}
        appeared, deleted = now - known, known - now
        world.agent.step({Event("appeared", path) for path in appeared} | {Event("deleted", path) for path in deleted})
        known = now
        edit()

    said = world.passes(days=3, each=reported)
    assert since(said, "that newer ones make needless") != []
    assert world.book().alarms == ()
    assert len(world.bench.read) <= 3 * 2 * 2  # the daily round only


def test_other_files_in_the_folder_are_nobodys_business(world: World) -> None:
    world.begun()
    (world.a / "notes.txt").write_text("x")
    (world.a / "keyferry-20261122T210000Z-1f3a77c0.keyferry").write_text("x")
    names = ("notes.txt", "keyferry-20261122T210000Z-1f3a77c0.keyferry")
    assert world.look(*[Event("appeared", world.a / name) for name in names]) == []
    assert world.bench.calls == []


# -- the round and the drill


def test_the_newest_set_is_restored_once_a_week(world: World) -> None:
    world.evenings(56)
    assert 8 <= world.bench.calls.count("drill") <= 9


def test_a_failed_drill_is_an_alarm_until_one_is_well(world: World) -> None:
    world.bench.drill_trouble = "an item was restored other than it is in the vault"
    world.begun()
    said = world.passes(minutes=10)
    assert "alarm: the restore drill failed: an item was restored other than it is in the vault" in said
    world.passes(days=2)
    assert world.bench.calls.count("drill") == 3
    assert len(world.open_alarms()) == 1
    world.bench.drill_trouble = ""
    world.passes(days=1)
    assert world.open_alarms() == []


def test_each_copy_is_read_at_least_once_in_a_month(world: World) -> None:
    world.evenings(100)
    start = len(world.bench.read)
    sets = {one.id for one in world.book().sets}
    world.evenings(31, edits=False)
    assert sets <= {one for _, one in world.bench.read[start:]}
    per_day = len(world.bench.read[start:]) / 31
    assert per_day <= 2 * (len(sets) * 2 / 30 + 1)


def test_what_was_just_written_and_read_back_is_not_read_again(world: World) -> None:
    world.begun()
    world.passes(hours=3)
    assert "verify" not in world.bench.calls


def test_what_could_not_be_put_back_is_tried_again_the_next_day(world: World) -> None:
    world.begun()
    path = world.newest(world.a)
    world.evenings(2)
    world.bench.heals = False
    world.look(delete(path))
    assert len(world.open_alarms()) == 1
    world.bench.heals = True
    world.evenings(2, edits=False)
    assert path.exists()
    assert world.open_alarms() == []


def test_a_file_damaged_in_silence_is_found_by_the_round(world: World) -> None:
    world.evenings(10)
    path = world.a / world.files(world.a)[0]
    overwrite(path)
    said = world.evenings(31, edits=False)
    assert any(line.startswith(f"alarm: {path}") for line in said)
    assert b"y" * 5 not in path.read_bytes()


def test_the_minutes_after_login_are_left_alone(world: World) -> None:
    world.passes(minutes=4)
    assert "drill" not in world.bench.calls
    world.passes(minutes=3)
    assert "drill" in world.bench.calls


# -- troubles


def test_a_locked_keyring_is_told_once_and_waited_for(world: World) -> None:
    world.bench.refusals = [KeyringLocked("the OS keyring is locked") for _ in range(6)]
    said = world.passes(minutes=6)
    assert said[0] == "waiting: the OS keyring is locked"
    assert len(since(said, "waiting")) == 1
    assert "the vault can be opened" in said
    assert len(since(said, "made set")) == 1


def test_a_drive_that_appears_may_hold_the_key(world: World) -> None:
    world.bench.refusals = [KeyringLocked("locked") for _ in range(5)]
    for _ in range(4):
        world.look(Event("mounted", Path("/media/key")))
    assert world.bench.refusals != []
    world.look(Event("mounted", Path("/media/key")))
    assert world.bench.refusals == []


@pytest.mark.parametrize("error", [UsageError("passphrase"), NoVault("none"), DamagedVault("damaged")])
def test_what_can_never_work_ends_the_agent_at_once(world: World, error: Exception) -> None:
    world.bench.refusals = [error]  # type: ignore[list-item]
    with pytest.raises(type(error)):
        world.agent.run()
    assert world.events.state.endswith("stopped")


def test_a_vault_damaged_later_is_told_and_does_not_end_the_agent(world: World) -> None:
    world.begun()
    world.bench.refusals = [DamagedVault("the vault file is damaged") for _ in range(3)]
    world.bench.edit()
    said = world.passes(minutes=10)
    assert said.count("failed: the vault file is damaged") == 1
    assert world.bench.refusals == []


def test_a_backup_that_fails_is_told_once_and_tried_less_and_less(world: World) -> None:
    world.begun()
    world.bench.trouble = DiskFull("the disk is full", hint="make room")
    world.bench.calls.clear()
    said = world.passes(hours=48)
    assert said.count("failed: the disk is full (make room)") == 1
    assert 15 <= world.bench.calls.count("create") <= 40
    world.bench.trouble = None
    world.bench.edit()
    assert len(since(world.passes(hours=1, minutes=2), "made set")) == 1


def test_a_target_that_comes_back_ends_the_waiting(world: World) -> None:
    world.begun()
    world.unplug()
    world.bench.edit()
    world.bench.trouble = DiskFull("the disk is full")
    world.passes(hours=30)
    world.bench.trouble = None
    assert len(since(world.plug(), "made set")) == 1


def test_another_process_that_makes_backups_is_waited_for_in_silence(world: World) -> None:
    world.begun()
    world.bench.edit()
    world.passes(hours=23, minutes=50)
    world.bench.trouble = VaultBusy("another Keyferry process is making backups")
    assert since(world.passes(minutes=12), "failed") == []
    world.bench.trouble = None
    assert len(since(world.passes(minutes=2), "made set")) == 1


def test_an_unsafe_kit_is_told_at_the_beginning(world: World) -> None:
    world.bench.reminder = "the recovery kit is not saved yet"
    assert "the recovery kit is not saved yet" in world.look()
    assert since(world.passes(days=3), "kit") == []


def test_the_agent_ends_when_told_and_lets_go_of_everything(world: World) -> None:
    world.events.then = world.agent.stop
    world.agent.run()
    assert world.events.state == "started woken stopped"
    calls = len(world.bench.calls)
    world.agent.step(())
    assert len(world.bench.calls) == calls


def test_an_idle_agent_looks_about_once_a_minute(world: World) -> None:
    world.begun()
    world.passes(minutes=10)
    calls, pauses = len(world.bench.calls), []
    for _ in range(60):
        pauses.append(world.agent.pause())
        world.clock.passes(pauses[-1])
        world.look()
    assert sum(pauses) >= 59 * 59
    assert len(world.bench.calls) == calls


# -- with a real vault


@pytest.fixture
def home(tmp_path: Path) -> Path:
    found = tmp_path / "home"
    keys.init_vault(found, holder=keys.choose_holder(found, key_file=tmp_path / "k")).close()
    return found


def real_agent(home: Path, said: list[str]) -> Agent:
    return Agent(
        home,
        desk=lambda: opened(home, moment.now),
        events=Watcher(),
        wall=lambda: datetime.now(UTC),
        mono=lambda: 0.0,
        zone=BERLIN,
        say=said.append,
    )


def test_a_real_vault_is_backed_up_and_made_good(home: Path) -> None:
    said: list[str] = []
    agent = real_agent(home, said)
    agent.step(())
    assert len(since(said, "made set")) == 1
    (only,) = (home / "backups").glob("*.keyferry")
    only.unlink()
    agent.step({Event("deleted", only)})
    assert said[-2] == f"alarm: {only}: the file is gone, and was not pruned"
    assert said[-1].startswith("no good copy of 1 set is left; made set")
    with opened(home, moment.now) as desk:
        assert [bool(one.ended) for one in desk.book().alarms] == [True]


def test_a_vault_under_a_passphrase_is_refused_with_the_way_out(tmp_path: Path) -> None:
    found = tmp_path / "home"
    keys.init_vault(found, holder=keys.choose_holder(found, passphrase="throw-away")).close()
    with pytest.raises(UsageError) as refused:
        real_agent(found, []).step(())
    assert "keyferry key move --key-file" in refused.value.hint


def test_alarms_keep_their_shape(world: World) -> None:
    """The book's JSON is read by other versions."""
    alarm = Alarm("2026-11-23T20:00:00Z", "local", "00", "text")
    text = msgspec.json.encode(Book(tag="0" * 8, alarms=(alarm,)))
    assert b'"alarms":[{"at":"2026-11-23T20:00:00Z","target":"local","set":"00","text":"text"}]' in text
    shutil.rmtree(world.folder)
