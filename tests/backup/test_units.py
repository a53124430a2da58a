"""Units say exactly the call that was meant, whatever its paths are named.

The readers here are written on their own, after the systems' documentation.
"""

from __future__ import annotations

import configparser
import plistlib
import re
import shlex
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st

from backup import units
from backup.units import AGENT, BACKUP, exec_line, install, is_installed, property_list, render, task, uninstall
from vault.errors import UsageError

PROGRAM = ("/opt/py thon/bin/python", "/srv/key$ferry/100%/keyferry")
HOME = Path('/home/ada/my "vault"/ä %h $HOME')
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"

paths = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12).map(lambda t: f"/{t}")
calls = st.lists(paths, min_size=1, max_size=4)


def read_exec(line: str) -> list[str]:
    """Read a command line as systemd.syntax(7) and systemd.service(5) say; only what stands in double quotes."""
    words = []
    for found in re.finditer(r'"((?:[^"\\]|\\.)*)"( |$)', line):
        text = re.sub(r"\\(x[0-9a-f]{2}|.)", lambda one: read_escape(one[1]), found[1])
        assert not re.search(r"(?<!%)(%%)*%(?!%)", text)
        words.append(text.replace("%%", "%"))
    assert words[0].startswith(":")  # so $ stands for itself
    words[0] = words[0][1:]
    if words[:4] == ["/bin/sh", "-c", 'exec "$@"', "keyferry"]:
        return words[4:]
    assert not set(words[0]) & set("\"'\\")
    return words


def read_escape(text: str) -> str:
    return chr(int(text[1:], 16)) if len(text) > 1 else {"n": "\n", "t": "\t"}.get(text, text)


def read_windows(line: str) -> list[str]:
    """Split a command line as Microsoft's C runtime does."""
    words, word, quoted, begun, place = [], "", False, False, 0
    while place < len(line):
        slashes = len(line[place:]) - len(line[place:].lstrip("\\"))
        place += slashes
        letter = line[place : place + 1]
        if letter == '"':
            word += "\\" * (slashes // 2)
            begun = True
            if slashes % 2:
                word += '"'
            else:
                quoted = not quoted
        else:
            word += "\\" * slashes
            if letter in (" ", "\t") and not quoted:
                if begun or word:
                    words.append(word)
                word, begun = "", False
            else:
                word += letter
        place += 1
    return [*words, word] if begun or word else words


def section(unit: bytes, name: str) -> dict[str, str]:
    reader = configparser.RawConfigParser(strict=True, delimiters=("=",))
    reader.optionxform = str  # type: ignore[assignment,method-assign]
    reader.read_string(unit.decode())
    return dict(reader[name])


@given(calls)
def test_systemd_reads_the_call_that_was_meant(call: list[str]) -> None:
    line = exec_line(call)
    assert "\n" not in line
    assert read_exec(line) == call


@given(calls)
def test_launchd_reads_the_call_that_was_meant_or_it_is_refused(call: list[str]) -> None:
    try:
        body = property_list(AGENT, call)
    except UsageError:
        assert re.search("[\x00-\x08\x0a-\x1f\ufffe\uffff]", "".join(call))
        return
    assert plistlib.loads(body)["ProgramArguments"] == call


@given(calls)
def test_the_task_scheduler_reads_the_call_that_was_meant_or_it_is_refused(call: list[str]) -> None:
    try:
        root = ElementTree.fromstring(task(AGENT, call))
    except UsageError:
        assert re.search("[\x00-\x08\x0a-\x1f\ufffe\uffff]|%[^%]*%", "\0".join(call))
        return
    command, arguments = (root.findtext(f".//{TASK}{name}") for name in ("Command", "Arguments"))
    assert [command, *read_windows(arguments or "")] == call


@pytest.mark.parametrize("system", ["systemd", "launchd", "tasks"])
def test_a_path_that_is_no_text_is_refused(system: units.System) -> None:
    with pytest.raises(UsageError):
        render(system, PROGRAM[:1], Path("/home/\udce4"))


def test_a_variable_between_percent_signs_is_refused_on_windows() -> None:
    with pytest.raises(UsageError):
        task(AGENT, ("C:\\py.exe", "C:\\%USERNAME%\\x"))


def test_systemd_gets_the_agent_and_a_timer_that_catches_up() -> None:
    found = render("systemd", PROGRAM, HOME)
    assert list(found) == ["keyferry-agent.service", "keyferry-backup.service", "keyferry-backup.timer"]
    agent = section(found["keyferry-agent.service"], "Service")
    assert read_exec(agent["ExecStart"]) == [*PROGRAM, "agent", "run", "--home", str(HOME)]
    assert agent["Restart"] == "on-failure"
    assert section(found["keyferry-agent.service"], "Install") == {"WantedBy": "default.target"}
    once = section(found["keyferry-backup.service"], "Service")
    assert once["Type"] == "oneshot"
    assert read_exec(once["ExecStart"]) == [*PROGRAM, "backup", "create", "--if-due", "--yes", "--home", str(HOME)]
    timer = section(found["keyferry-backup.timer"], "Timer")
    assert (timer["OnCalendar"], timer["Persistent"]) == ("hourly", "true")
    assert section(found["keyferry-backup.timer"], "Install") == {"WantedBy": "timers.target"}


@pytest.mark.parametrize("name", ["keyferry-agent.service", "keyferry-backup.service"])
def test_services_leak_nothing_and_are_kept_from_nothing_they_need(name: str) -> None:
    found = section(render("systemd", PROGRAM, HOME)[name], "Service")
    assert (found["UMask"], found["NoNewPrivileges"], found["LimitCORE"]) == ("0077", "yes", "0")
    assert "AF_UNIX" in found["RestrictAddressFamilies"]  # the keyring's bus
    hiding = {"ProtectHome", "ProtectSystem", "PrivateTmp", "PrivateUsers", "ReadOnlyPaths", "InaccessiblePaths"}
    assert not hiding & set(found)


def test_a_wrong_command_line_is_not_tried_for_ever() -> None:
    found = section(render("systemd", PROGRAM, HOME)["keyferry-agent.service"], "Service")
    assert "2" in found["RestartPreventExitStatus"].split()


def test_launchd_keeps_the_agent_alive_and_runs_a_backup_each_hour() -> None:
    found = {name: plistlib.loads(body) for name, body in render("launchd", PROGRAM, HOME).items()}
    agent, backup = found["org.keyferry.agent.plist"], found["org.keyferry.backup.plist"]
    assert agent["RunAtLoad"] is True
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert backup["StartCalendarInterval"] == {"Minute": 0}
    assert agent["Umask"] == backup["Umask"] == 0o077
    assert backup["ProgramArguments"][2:4] == ["backup", "create"]


def test_a_task_is_utf_16_and_is_caught_up() -> None:
    body = render("tasks", PROGRAM, HOME)["keyferry-backup.xml"]
    assert body[:2] in (b"\xff\xfe", b"\xfe\xff")
    root = ElementTree.fromstring(body)
    assert root.findtext(f".//{TASK}StartWhenAvailable") == "true"
    assert root.findtext(f".//{TASK}Interval") == "PT1H"
    assert root.findtext(f".//{TASK}DisallowStartIfOnBatteries") == "false"


class Recorder:
    """A system that notes what it is asked to run, and answers as told."""

    def __init__(self, *, answer: bool = True) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.answer = answer

    def __call__(self, command: Sequence[str]) -> bool:
        self.asked.append(tuple(command))
        return self.answer


def test_units_are_written_private_and_switched_on(tmp_path: Path) -> None:
    run = Recorder()
    folder = tmp_path / "config" / "systemd" / "user"
    done = install("systemd", PROGRAM, HOME, folder, run)
    assert done.is_done
    assert [path.name for path in done.files] == [f"{AGENT}.service", f"{BACKUP}.service", f"{BACKUP}.timer"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in done.files)
    assert run.asked == [
        ("systemctl", "--user", "daemon-reload"),
        ("systemctl", "--user", "enable", "--now", f"{AGENT}.service", f"{BACKUP}.timer"),
    ]
    assert is_installed("systemd", folder)


def test_where_the_system_does_not_answer_the_lines_to_type_are_given(tmp_path: Path) -> None:
    run = Recorder(answer=False)
    done = install("systemd", PROGRAM, HOME, tmp_path, run)
    assert not done.is_done
    assert len(run.asked) == 1  # what comes after a failure is not tried
    assert done.lines == (
        "systemctl --user daemon-reload",
        "systemctl --user enable --now keyferry-agent.service keyferry-backup.timer",
    )
    assert all(path.is_file() for path in done.files)


def test_new_units_take_the_place_of_old_ones(tmp_path: Path) -> None:
    install("systemd", PROGRAM, HOME, tmp_path, Recorder())
    run = Recorder()
    install("systemd", PROGRAM, Path("/other"), tmp_path, run)
    assert run.asked[0][:4] == ("systemctl", "--user", "disable", "--now")
    assert "/other" in (tmp_path / f"{AGENT}.service").read_text()


def test_units_are_switched_off_before_they_are_removed(tmp_path: Path) -> None:
    install("systemd", PROGRAM, HOME, tmp_path, Recorder())
    there: list[bool] = []

    def run(_: Sequence[str]) -> bool:
        there.append(is_installed("systemd", tmp_path))
        return True

    done = uninstall("systemd", tmp_path, run)
    assert there == [True, False]
    assert done.is_done
    assert len(done.files) == 3
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_is_installed_nothing_is_removed(tmp_path: Path) -> None:
    run = Recorder()
    done = uninstall("systemd", tmp_path, run)
    assert (done.files, done.commands, run.asked) == ((), (), [])


@pytest.mark.parametrize(("system", "first"), [("launchd", "launchctl"), ("tasks", "schtasks")])
def test_other_systems_are_asked_once_for_each_unit(tmp_path: Path, system: units.System, first: str) -> None:
    run = Recorder()
    done = install(system, PROGRAM, HOME, tmp_path, run)
    assert [command[0] for command in run.asked] == [first] * len(done.files) == [first] * 2
    uninstall(system, tmp_path, run)
    assert list(tmp_path.iterdir()) == []


def test_units_lie_where_the_user_keeps_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    assert units.folder_of("systemd", HOME) == tmp_path / "c" / "systemd" / "user"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert units.folder_of("systemd", HOME) == tmp_path / ".config" / "systemd" / "user"
    assert units.folder_of("launchd", HOME) == tmp_path / "Library" / "LaunchAgents"


def test_lines_to_type_are_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "a b'c"
    done = install("launchd", PROGRAM, HOME, folder, Recorder())
    assert shlex.split(done.lines[0])[-1] == str(folder / "org.keyferry.agent.plist")


def test_a_program_that_is_not_there_is_no_answer() -> None:
    assert not units.answers(("/nowhere/systemctl", "--user"))
