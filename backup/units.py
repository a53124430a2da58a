"""What starts the agent at login, and a backup each hour without it, in the words of each system.

Rules:
1. Two units per system. The agent runs from login on and is started again when it fails. The hourly run of
   ``backup create --if-due`` finds nothing to do while an agent is well, and is caught up after sleep.
2. The render functions are pure: program and home come in, the text goes out. Any path that is text can be quoted, or
   is refused with ``UsageError``.
3. Sandboxing that needs name spaces is left out of the systemd units: a user's service manager cannot always make
   them, a target may be mounted anywhere later, and the key comes over the session bus. What remains: no new
   privileges, no core dumps, private files, no exotic sockets, low priority.
4. Files are written private and whole; what must be typed to switch them on is returned and run where the system's
   own program answers.

systemd's units are checked by ``systemd-analyze verify`` in the tests; launchd's and the Task Scheduler's are written
from documentation and were never run.
"""

from __future__ import annotations

import os
import plistlib
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

import msgspec

from vault.errors import UsageError
from vault.files import make_private_folder, write_private

System = Literal["systemd", "launchd", "tasks"]
AGENT, BACKUP = "keyferry-agent", "keyferry-backup"
LABELS = {AGENT: "org.keyferry.agent", BACKUP: "org.keyferry.backup"}
_TASKS = {AGENT: "Keyferry agent", BACKUP: "Keyferry backup"}
_UNSAFE = re.compile("[\x00-\x1f\x7f\"'\\\\]")  # what systemd refuses in the name of a program
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "%": "%%"}
_XML_REFUSES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_SECONDS = 30

_SERVICE = """\
[Unit]
Description={title}

[Service]
Type={type}
ExecStart={call}
{more}UMask=0077
NoNewPrivileges=yes
LimitCORE=0
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
Nice=10
IOSchedulingClass=idle
"""
# What trying again cannot mend: 2 the command line, 21-27 the vault itself; and 130, interrupted by a person.
_STAYS = "Restart=on-failure\nRestartSec=60\nRestartPreventExitStatus=2 21 24 25 26 27 130\n"
# 23: an agent is making one just now.
_ONCE = "SuccessExitStatus=23\n"
_WANTED_BY = "\n[Install]\nWantedBy={target}\n"
_TIMER = """\
[Unit]
Description=Keyferry looks each hour whether a backup is due

[Timer]
OnCalendar=hourly
RandomizedDelaySec=5min
Persistent=true

[Install]
WantedBy=timers.target
"""
_TASK = """\
<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="{namespace}">
  <RegistrationInfo>
    <Description>{title}</Description>
  </RegistrationInfo>
  <Triggers>
{trigger}
  </Triggers>
  <Principals>
    <Principal id="Author">
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <Enabled>true</Enabled>
    <Hidden>false</Hidden>
    <ExecutionTimeLimit>{limit}</ExecutionTimeLimit>
    <Priority>7</Priority>{restart}
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{command}</Command>
      <Arguments>{arguments}</Arguments>
    </Exec>
  </Actions>
</Task>
"""
_AT_LOGON = "    <LogonTrigger>\n      <Enabled>true</Enabled>\n    </LogonTrigger>"
_EACH_HOUR = """\
    <TimeTrigger>
      <Repetition>
        <Interval>PT1H</Interval>
      </Repetition>
      <StartBoundary>2026-01-01T00:00:00</StartBoundary>
      <Enabled>true</Enabled>
    </TimeTrigger>"""
_AGAIN = "\n    <RestartOnFailure>\n      <Interval>PT1M</Interval>\n      <Count>255</Count>\n    </RestartOnFailure>"

Run = Callable[[Sequence[str]], bool]


class Installed(msgspec.Struct, frozen=True):
    """What was written or removed, what switches it on or off, and whether that was done."""

    files: tuple[Path, ...]
    commands: tuple[tuple[str, ...], ...]
    is_done: bool

    @property
    def lines(self) -> tuple[str, ...]:
        """The commands as a person types them."""
        quoted = subprocess.list2cmdline if sys.platform == "win32" else _for_shell
        return tuple(quoted(command) for command in self.commands)


def this_system() -> System:
    """Return whose units this machine reads."""
    return "tasks" if sys.platform == "win32" else "launchd" if sys.platform == "darwin" else "systemd"


def program() -> tuple[str, ...]:
    """Return how this very program is started again: Python and the file it was started from, whole paths."""
    return sys.executable, os.path.abspath(sys.argv[0])


def folder_of(system: System, home: Path) -> Path:
    """Return where the system looks for a user's units; the Task Scheduler's files lie in the vault's home."""
    if system == "launchd":
        return Path.home() / "Library" / "LaunchAgents"
    if system == "tasks":
        return home
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def render(system: System, program: Sequence[str], home: Path) -> dict[str, bytes]:
    """Return the units by the names of their files; raises ``UsageError`` for a path that cannot be written there."""
    calls = {
        AGENT: (*program, "agent", "run", "--home", str(home)),
        BACKUP: (*program, "backup", "create", "--if-due", "--yes", "--home", str(home)),
    }
    if system == "launchd":
        return {f"{LABELS[name]}.plist": property_list(name, call) for name, call in calls.items()}
    if system == "tasks":
        return {f"{name}.xml": task(name, call) for name, call in calls.items()}
    return {
        f"{AGENT}.service": service(AGENT, calls[AGENT]).encode(),
        f"{BACKUP}.service": service(BACKUP, calls[BACKUP]).encode(),
        f"{BACKUP}.timer": _TIMER.encode(),
    }


def service(name: str, call: Sequence[str]) -> str:
    """Return a systemd user service that runs the call."""
    if name == AGENT:
        text = _SERVICE.format(title="Keyferry makes backups", type="exec", call=exec_line(call), more=_STAYS)
        return text + _WANTED_BY.format(target="default.target")
    return _SERVICE.format(
        title="Keyferry makes the backup that is due", type="oneshot", call=exec_line(call), more=_ONCE
    )


def exec_line(call: Sequence[str]) -> str:
    """Return the call as systemd reads it in ``ExecStart``: each word in quotes, nothing put in for ``$`` and ``%``."""
    words = [_text(word) for word in call]
    if _UNSAFE.search(words[0]):
        words = ["/bin/sh", "-c", 'exec "$@"', "keyferry", *words]
    words[0] = f":{words[0]}"  # leaves $ as it is
    return " ".join(f'"{"".join(map(_escaped, word))}"' for word in words)


def property_list(name: str, call: Sequence[str]) -> bytes:
    """Return a launchd agent that runs the call; raises ``UsageError`` for a control character."""
    when: dict[str, object] = (
        {"RunAtLoad": True, "KeepAlive": {"SuccessfulExit": False}, "ThrottleInterval": 60}
        if name == AGENT
        else {"StartCalendarInterval": {"Minute": 0}}
    )
    return plistlib.dumps(
        {
            "Label": LABELS[name],
            "ProgramArguments": [_xml_text(word) for word in call],
            "ProcessType": "Background",
            "LowPriorityIO": True,
            "Umask": 0o077,
            **when,
        }
    )


def task(name: str, call: Sequence[str]) -> bytes:
    """Return a task of the Task Scheduler that runs the call, in UTF-16 with its mark.

    Raises ``UsageError`` for a control character, and for two percent signs: what is between them would be replaced.
    """
    words = [_xml_text(word) for word in call]
    if any(word.count("%") > 1 for word in words):
        raise UsageError("the Task Scheduler cannot start a path with percent signs", hint="move the folder elsewhere")
    text = _TASK.format(
        namespace=_NAMESPACE,
        title="Keyferry makes backups" if name == AGENT else "Keyferry makes the backup that is due",
        trigger=_AT_LOGON if name == AGENT else _EACH_HOUR,
        limit="PT0S" if name == AGENT else "PT4H",
        restart=_AGAIN if name == AGENT else "",
        command=escape(words[0]),
        arguments=escape(subprocess.list2cmdline(words[1:])),
    )
    return text.replace("\n", "\r\n").encode("utf-16")


def install(system: System, program: Sequence[str], home: Path, folder: Path, run: Run | None = None) -> Installed:
    """Write the units into the folder and switch them on; ``is_done`` is False where that has to be typed.

    Units that were there before are switched off first, so that the new ones take their place. Raises ``UsageError``
    for a path that cannot be quoted, else as ``vault.files.write_private``.
    """
    units, run = render(system, program, home), run or answers
    make_private_folder(folder)
    if is_installed(system, folder):
        for command in _switching_off(system, tuple(folder / name for name in units)):
            run(command)
    for name, body in units.items():
        write_private(folder / name, body)
    files = tuple(folder / name for name in units)
    commands = _switching_on(system, files)
    return Installed(files, commands, all(map(run, commands)))


def uninstall(system: System, folder: Path, run: Run | None = None) -> Installed:
    """Switch the units off and remove their files; ``files`` names those that were there."""
    names = render(system, ("/keyferry",), Path("/"))
    files = tuple(folder / name for name in names if os.path.lexists(folder / name))
    commands = _switching_off(system, tuple(folder / name for name in names)) if files else ()
    run = run or answers
    done = [run(command) for command in commands if command[-1] != "daemon-reload"]
    for file in files:
        file.unlink(missing_ok=True)
    done += [run(command) for command in commands if command[-1] == "daemon-reload"]
    return Installed(files, commands, all(done))


def is_installed(system: System, folder: Path) -> bool:
    """Tell whether the agent's unit lies there."""
    return any((folder / name).is_file() for name in render(system, ("/keyferry",), Path("/")) if "agent" in name)


def answers(command: Sequence[str]) -> bool:
    """Run a command of the system and tell whether it went well."""
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _switching_on(system: System, files: Sequence[Path]) -> tuple[tuple[str, ...], ...]:
    if system == "launchd":
        return tuple(("launchctl", "bootstrap", _domain(), str(file)) for file in files)
    if system == "tasks":
        titles = {f"{name}.xml": title for name, title in _TASKS.items()}
        return tuple(("schtasks", "/Create", "/F", "/TN", titles[file.name], "/XML", str(file)) for file in files)
    wanted = [file.name for file in files if file.name in (f"{AGENT}.service", f"{BACKUP}.timer")]
    return ("systemctl", "--user", "daemon-reload"), ("systemctl", "--user", "enable", "--now", *wanted)


def _switching_off(system: System, files: Sequence[Path]) -> tuple[tuple[str, ...], ...]:
    if system == "launchd":
        return tuple(("launchctl", "bootout", f"{_domain()}/{file.stem}") for file in files)
    if system == "tasks":
        return tuple(("schtasks", "/Delete", "/F", "/TN", title) for title in _TASKS.values())
    wanted = [file.name for file in files if file.name in (f"{AGENT}.service", f"{BACKUP}.timer")]
    return ("systemctl", "--user", "disable", "--now", *wanted), ("systemctl", "--user", "daemon-reload")


def _domain() -> str:
    return f"gui/{os.getuid()}" if sys.platform != "win32" else "gui"


def _for_shell(command: Sequence[str]) -> str:
    import shlex

    return shlex.join(command)


def _escaped(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    return f"\\x{ord(letter):02x}" if letter < " " or letter == "\x7f" else letter


def _text(word: str) -> str:
    """Return the word if it is text; a path may be bytes that are none."""
    if any("\ud800" <= letter <= "\udfff" for letter in word) or "\0" in word:
        raise UsageError("a path that is no text cannot be written into a unit", hint="give the folder another name")
    return word


def _xml_text(word: str) -> str:
    if _XML_REFUSES.search(_text(word)) or "\n" in word or "\r" in word:
        raise UsageError(
            "a path with control characters cannot be written into a unit", hint="give the folder another name"
        )
    return word
