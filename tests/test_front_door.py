"""The front door: instant start, and every ending one sentence with its exit code."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tomllib
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

import keyferry
from vault import errors
from vault.screen import Session, command

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("pandas", "numpy", "keyring", "rich", "cryptography", "sqlcipher3", "pyrage", "msgspec", "platformdirs")
CANARY = "hunter2-canary"

Ending = Callable[[Session], int | None]
Door = Callable[..., tuple[int, str, str]]


def shell(*arguments: str, **given: object) -> subprocess.CompletedProcess[str]:
    """Run keyferry in a process of its own."""
    environment = {**os.environ, **given.pop("env", {})}  # type: ignore[dict-item]
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **given}
    call = [sys.executable, "-m", "keyferry", *arguments]
    return subprocess.run(call, text=True, cwd=ROOT, env=environment, timeout=60, **given)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Door]:
    """Type a command line in which the command ``trial`` does what the test says."""
    module = types.ModuleType("trial_commands")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(keyferry.COMMANDS, "trial", ("trial_commands:trial", "Try."))

    def run(ending: Ending, *arguments: str) -> tuple[int, str, str]:
        module.trial = command("trial")(ending)  # type: ignore[attr-defined]
        code = keyferry.run(["trial", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    yield run


def raising(error: BaseException) -> Ending:
    def trial(session: Session) -> int | None:
        raise error

    return trial


# --- start


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [], ["--hlep"], ["lst"]])
def test_the_front_page_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, keyferry; keyferry.run(sys.argv[1:]);"
        f"sys.exit(','.join(m for m in {HEAVY!r} if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.partition("error:")[0]) == (0, "")


def test_the_version_is_the_packages() -> None:
    dynamic = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"]
    assert "version" in dynamic
    assert shell("--version").stdout == f"keyferry {keyferry.__version__}\n"


def test_help_and_no_arguments_show_every_command_with_one_line() -> None:
    shown = shell("--help")
    assert shown.returncode == 0
    for title, entries in keyferry.SECTIONS.items():
        assert f"\n{title}:\n" in shown.stdout
        for name, (_, line) in entries.items():
            assert f"  {name.ljust(max(map(len, keyferry.COMMANDS)))}  {line}\n" in shown.stdout
    assert shell().stdout == shown.stdout


@pytest.mark.parametrize("name", list(keyferry.COMMANDS))
def test_each_command_of_the_table_exists_and_has_the_shared_options(name: str) -> None:
    found = keyferry.door.get_command(click.Context(keyferry.door), name)
    assert found is not None
    for leaf in _leaves(found):
        options = {flag for parameter in leaf.params for flag in parameter.opts}
        assert {"--home", "--json", "--yes"} <= options, leaf.name
        assert leaf.help, leaf.name


def _leaves(found: click.Command) -> Iterator[click.Command]:
    if not isinstance(found, click.Group):
        yield found
        return
    for inner in found.commands.values():
        yield from _leaves(inner)


def test_shared_options_may_stand_before_the_command(ends: Door, capsys: pytest.CaptureFixture[str]) -> None:
    def trial(session: Session) -> None:
        session.out([str(session.home), session.yes])

    ends(trial)
    assert keyferry.run(["--json", "--yes", "--home", "/h", "trial"]) == 0
    assert json.loads(capsys.readouterr().out) == ["/h", True]


def test_moved_options_stay_options() -> None:
    moved = keyferry._shared_last(["--json", "--home=/h", "trial", "--", "x"])
    assert moved == ["trial", "--json", "--home=/h", "--", "x"]


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--home"], ["--home", "d"], ["--json", "--version"]])
def test_shared_options_without_a_command_stay_where_they_are(arguments: list[str]) -> None:
    assert keyferry._shared_last(arguments) == arguments


# --- endings


@pytest.mark.parametrize("code", [None, 0, 3, 4, 5])
def test_the_number_a_command_returns_is_the_exit_code(ends: Door, code: int | None) -> None:
    assert ends(lambda session: code) == (code or 0, "", "")


def test_an_error_of_ours_is_a_sentence_a_hint_and_its_code(ends: Door) -> None:
    error = errors.NoSuchItem("no item is called Bank", hint="keyferry list")
    assert ends(raising(error)) == (35, "", "error: no item is called Bank\nhint: keyferry list\n")


def test_with_json_an_error_is_an_object(ends: Door) -> None:
    code, out, err = ends(raising(errors.NoSuchItem("no item is called Bank", hint="keyferry list")), "--json")
    assert (code, out) == (35, "")
    shape = {"error": "NoSuchItem", "message": "no item is called Bank", "hint": "keyferry list", "exit_code": 35}
    assert json.loads(err) == shape


def test_hostile_text_in_a_message_is_shown_as_escapes(ends: Door) -> None:
    _, _, err = ends(raising(errors.UnknownFormat("no format fits \x1b[2J\u202e.csv", hint="\x9b1\nsecond line")))
    assert err == "error: no format fits \\x1b[2J\\u202e.csv\nhint: \\x9b1\nsecond line\n"


@pytest.mark.parametrize("arguments", [["lst"], ["--nothing"], ["trial", "extra"], ["trial", "--nothing"]])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_wrong_command_line_is_usage(
    ends: Door, capsys: pytest.CaptureFixture[str], arguments: list[str], as_json: bool
) -> None:
    ends(lambda session: None)
    assert keyferry.run(["--json", *arguments] if as_json else arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    if as_json:
        assert json.loads(err)["exit_code"] == 2
        assert json.loads(err)["error"] == "UsageError"
    else:
        assert err.startswith("error: ")
        assert "--help" in err


def test_a_mistyped_command_is_answered_with_its_neighbour(capsys: pytest.CaptureFixture[str]) -> None:
    keyferry.run(["serach"])
    assert "did you mean search?" in capsys.readouterr().err


def test_json_as_a_value_is_no_option(ends: Door) -> None:
    def trial(session: Session) -> None:
        raise errors.NoVault("there is no vault here")

    ends(trial)
    assert keyferry._wants_json(["trial", "--", "--json"]) is False
    assert keyferry._wants_json(["trial", "--json"]) is True


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interruption_is_one_line_and_130(ends: Door, error: BaseException) -> None:
    assert ends(raising(error)) == (130, "", "error: interrupted\n")


@pytest.mark.parametrize(
    ("number", "name", "code"),
    [
        (errno.ENOSPC, "DiskFull", 41),
        (errno.EDQUOT, "DiskFull", 41),
        (errno.EROFS, "CannotWrite", 40),
        (errno.EACCES, "CannotWrite", 40),
        (errno.EPERM, "CannotWrite", 40),
    ],
)
def test_what_the_system_refuses_is_named_with_its_place(ends: Door, number: int, name: str, code: int) -> None:
    ended, _, err = ends(raising(OSError(number, "refused", "/some/place")), "--json")
    told = json.loads(err)
    assert (ended, told["error"]) == (code, name)
    assert "/some/place" in told["message"]


def test_running_out_of_memory_is_one_sentence(ends: Door) -> None:
    code, _, err = ends(raising(MemoryError()))
    assert code == 59
    assert err.startswith("error: there is not enough memory")


def test_a_defect_names_type_and_place_and_no_value(ends: Door) -> None:
    def trial(session: Session) -> None:
        errors.KeyferryError(**{CANARY: CANARY})  # type: ignore[arg-type]

    code, out, err = ends(trial)
    assert code == 59
    assert out == ""
    assert "a defect in Keyferry: TypeError at vault/screen.py:" in err
    assert CANARY not in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "error",
    [
        ValueError(CANARY),
        KeyError(CANARY),
        UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY),
        EOFError(CANARY),
        OSError(errno.ENOENT, CANARY, "x"),
        RecursionError(CANARY),
        AssertionError(CANARY),
    ],
)
@pytest.mark.parametrize("debug", ["0", "1"])
def test_no_foreign_error_shows_what_it_carries(
    ends: Door, monkeypatch: pytest.MonkeyPatch, error: Exception, debug: str
) -> None:
    monkeypatch.setenv("KEYFERRY_DEBUG", debug)
    code, out, err = ends(raising(error))
    assert code == 59
    assert type(error).__name__ in err
    assert CANARY not in out + err


def test_debugging_shows_the_way_in_files_and_lines(ends: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def trial(session: Session) -> None:
        try:
            raise KeyError(CANARY)
        except KeyError as error:
            raise ValueError(CANARY) from error

    monkeypatch.setenv("KEYFERRY_DEBUG", "1")
    _, _, err = ends(trial)
    assert "ValueError\n  keyferry.py:" in err
    assert "KeyError\n" in err
    assert CANARY not in err


# --- the real process


def test_a_reader_that_leaves_is_no_error() -> None:
    code = "import sys, keyferry\nfor _ in range(9): print('x' * 60000, flush=True)"
    door = f"import click, keyferry\ndef go(a):\n    exec({code!r})\nkeyferry._invoke = go\nkeyferry.main()"
    child = subprocess.Popen([sys.executable, "-c", door], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.read(10)
    child.stdout.close()
    said = child.stderr.read()
    child.stderr.close()
    assert (child.wait(), said) == (keyferry.READER_GONE, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_told() -> None:
    with open("/dev/full", "w") as full:
        done = shell("--help", stdout=full)
    assert done.returncode == 41
    assert done.stderr.startswith("error: the disk is full")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_end_without_a_traceback(closed: str) -> None:
    for arguments in ("--help", "lst"):
        line = f"{sys.executable} -m keyferry {arguments} {closed}; echo code $?"
        done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.endswith(f"code {0 if arguments == '--help' else 2}\n")
        assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_no_locale_makes_showing_a_title_fail(encoding: str) -> None:
    code = (
        "import sys, keyferry; from pathlib import Path; from vault.screen import Session, prepare_streams;"
        "prepare_streams(); Session(Path('/')).table(['title'], [['Müller 日本 \\udcff 😀']])"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"ller" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_an_interrupted_process_says_one_line() -> None:
    door = (
        "import keyferry, time\ndef go(a):\n    print('ready', flush=True); time.sleep(60)\n"
        "keyferry._invoke = go\nkeyferry.main()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", door],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a check in the background ignores it
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert (child.returncode, said) == (130, "error: interrupted\n")


def test_exit_codes_are_unique_where_they_tell_apart() -> None:
    shared = {4: {"UndeclaredLoss", "UndecidedColumns"}, 59: {"KeyferryError", "Defect"}}
    classes = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.KeyferryError)]
    families = {base for e in classes for base in e.__bases__} - {errors.KeyferryError}
    by_code: dict[int, set[str]] = {}
    for error in classes:
        if error not in families:
            by_code.setdefault(error.exit_code, set()).add(error.__name__)
    crowded = {code: names for code, names in by_code.items() if len(names) > 1}
    assert crowded == shared
    assert all(2 <= code <= 59 for code in by_code)
