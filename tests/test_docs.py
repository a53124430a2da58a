"""The documents tell the truth: their examples are typed and compared, their tables and links are checked.

In a ``console`` block each line ``$ keyferry ...`` is run by a shell, all blocks of a document in order, with one new
vault. It must exit with 0, or with the code of a comment ``# exit N``. Lines below it are what must appear: white space
counts little, ``…`` stands for anything in a line, alone for any lines; no lines, no comparison. Files in
``~/Downloads``, which is also where the shell stands, are copies of samples.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import keyferry
from vault import errors

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DOWNLOADS = {
    "bitwarden_export.json": "bitwarden_json/household.json",
    "lastpass.csv": "lastpass_csv/household.csv",
}
PLACES = {"/media/stick": "stick", "/media/disk": "disk"}


@dataclass(frozen=True, slots=True)
class Example:
    """One command of a document and what must come of it."""

    line: int
    command: str
    exit_code: int = 0
    expected: tuple[str, ...] = ()


def examples(text: str) -> Iterator[Example]:
    """Yield the examples of a document in order."""
    inside, found = False, None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("```", "$ ")):
            if found is not None:
                yield found
            found = None
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ keyferry"):
            code = re.search(r"# exit (\d+)", line)
            found = Example(number, line[2:], int(code[1]) if code else 0)
        elif inside and found is not None:
            found = Example(found.line, found.command, found.exit_code, (*found.expected, line))


def fits(expected: tuple[str, ...], shown: str) -> bool:
    """Tell whether the output is what the document promises."""
    pattern = "".join(r"(?:.*\n)*" if line.strip() == "…" else _pattern(line) for line in expected)
    squeezed = "".join(" ".join(line.split()) + "\n" for line in shown.splitlines() if line.strip())
    return not expected or re.fullmatch(pattern, squeezed) is not None


def _pattern(line: str) -> str:
    squeezed = " ".join(line.split())
    return ".*".join(map(re.escape, squeezed.split("…"))) + r"\n" if squeezed else ""


def commands_of(example: Example) -> set[str]:
    """Return the names of the commands that the example types."""
    return set(re.findall(r"\bkeyferry\s+([a-z][a-z-]*)", example.command.partition("#")[0]))


@pytest.fixture
def shell(tmp_path: Path) -> Path:
    """Make a home with a vault, samples to read and a ``keyferry`` to call; return its folder."""
    for name in ("Downloads", "stick", "bin"):
        (tmp_path / name).mkdir()
    for name, sample in DOWNLOADS.items():
        if (ROOT / "samples" / sample).exists():
            shutil.copy(ROOT / "samples" / sample, tmp_path / "Downloads" / name)
    call = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m keyferry "$@"\n'
    (tmp_path / "bin" / "keyferry").write_text(call)
    (tmp_path / "bin" / "keyferry").chmod(0o755)
    return tmp_path


def typed(place: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Type one line in the home."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("XDG_")},
        "HOME": str(place),
        "KEYFERRY_HOME": str(place / "vault"),
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    for written, real in PLACES.items():
        line = line.replace(written, str(place / real))
    return subprocess.run(
        ["sh", "-c", line],
        cwd=place / "Downloads",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_examples_do_what_the_document_says(document: Path, shell: Path) -> None:
    todo = list(examples(document.read_text(encoding="utf-8")))
    needed = {name for example in todo for name in commands_of(example)} | ({"init"} if todo else set())
    if unknown := sorted(needed - set(keyferry.COMMANDS)):
        pytest.skip(f"needs the commands {', '.join(unknown)}")
    if todo and "init" not in commands_of(todo[0]):
        begun = typed(shell, f"keyferry init --key-file {shlex.quote(str(shell / 'stick' / 'key'))}")
        assert begun.returncode == 0, begun.stdout
    for example in todo:
        done = typed(shell, example.command)
        place = f"{document.name}:{example.line}: {example.command}\n{done.stdout}"
        assert done.returncode == example.exit_code, place
        assert fits(example.expected, done.stdout), place


def test_an_example_carries_its_output_and_its_code() -> None:
    text = "```console\n$ ./try\nout\n$ keyferry list\na\nb\n$ keyferry show x  # exit 35\n```\n"
    text += "```\n$ keyferry undo\n```\n"
    assert list(examples(text)) == [
        Example(4, "keyferry list", 0, ("a", "b")),
        Example(7, "keyferry show x  # exit 35", 35),
    ]


@pytest.mark.parametrize(
    ("expected", "shown", "same"),
    [
        ((), "anything\n", True),
        (("…",), "", True),
        (("id   title", "…"), "id title\na  b\nc  d\n", True),
        (("id title", "… b"), "id title\nxyz    b\n", True),
        (("3 items",), "3 items\n", True),
        (("3 items",), "4 items\n", False),
        (("3 items",), "3 items\nand more\n", False),
        (("…", "done"), "a\nb\ndone\n", True),
        (("…", "done"), "a\ndone\nb\n", False),
        (("a.b",), "axb\n", False),
    ],
)
def test_comparison_is_loose_but_no_looser(expected: tuple[str, ...], shown: str, same: bool) -> None:
    assert fits(expected, shown) is same


def test_the_shell_of_the_examples_is_a_home_of_its_own(shell: Path) -> None:
    assert typed(shell, "keyferry --version").stdout == f"keyferry {keyferry.__version__}\n"
    assert typed(shell, "echo ~ $KEYFERRY_HOME; pwd").stdout.split() == [
        str(shell),
        str(shell / "vault"),
        str(shell / "Downloads"),
    ]
    assert typed(shell, "keyferry lst").returncode == 2


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_table_of_exit_codes_is_complete() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (.+) \|$", (ROOT / "docs/exit-codes.md").read_text(), re.MULTILINE)
    classes = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.KeyferryError)]
    families = {base for e in classes for base in e.__bases__}
    promised = [
        (str(e.exit_code), e.__name__, (e.__doc__ or "").splitlines()[0].replace("``", "`"))
        for e in classes
        if e not in families
    ]
    assert sorted(rows) == sorted(promised)


def test_the_architecture_names_every_door_and_the_ground() -> None:
    from tests.test_dependency_rule import DOORS, GROUND

    drawn = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert all(f"`{door}`" in drawn for door in DOORS)
    ground = re.search(r"ground: vault\.\{([^}]*)\}", drawn)
    assert ground is not None
    assert {f"vault.{name.strip()}" for name in ground[1].split(",")} == GROUND
