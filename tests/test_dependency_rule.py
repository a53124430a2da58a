"""The rule of the house: who may import whom (docs/architecture.md draws it)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import keyferry

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("vault", "migrate", "backup")
GROUND = frozenset(f"vault.{name}" for name in ("secret", "errors", "moment", "model", "canonical", "views"))
DOORS = frozenset(
    {
        *("vault.store", "vault.keys", "vault.screen", "vault.asking", "vault.otp", "vault.views"),
        *("vault.files", "vault.cxf", "vault.sync.keeping"),
        *("migrate.catalog", "backup.archive"),
    }
)
FRONT = frozenset({"keyferry", "vault.screen"})
DEPENDENCIES = frozenset(
    {
        *("click", "pandas", "cryptography", "pyotp", "keyring", "watchdog"),
        *("msgspec", "sqlcipher3", "pyrage", "defusedxml", "cronsim", "segno", "rich", "platformdirs"),
        "python_calamine",
        "httpx2",
    }
)
OF_DEPENDENCIES = frozenset({"secretstorage", "jeepney"})  # keyring's own way to the Secret Service
OF_THE_RELAY = frozenset({"starlette", "uvicorn", "psycopg", "psycopg_pool"})  # the extra ``relay``
RELAY_COMMANDS = frozenset({"vault.commands.relay"})
TALKING = frozenset({"click", "rich"})
LATE = frozenset({"pandas", "keyring", "rich", "httpx2"})
TABLES = frozenset({"migrate.tables", "migrate.mapping"})


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement: by whom, of what, where, and whether it runs when its file is loaded."""

    module: str
    target: str
    line: int
    early: bool
    relative: bool = False

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def modules() -> dict[str, Path]:
    """Return every module of the house by its dotted name."""
    paths = [ROOT / "keyferry.py", *(p for room in ROOMS for p in sorted((ROOT / room).rglob("*.py")))]
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


HOUSE = modules()


def imports(module: str, source: str) -> Iterator[Import]:
    """Yield what the source imports, ``from a import b`` as ``a.b`` where that is a module of ours."""
    tree = ast.parse(source)
    early = set(_early(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(module, name.name, node.lineno, node in early)
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                target = inner if inner in HOUSE else node.module or "."
                yield Import(module, target, node.lineno, node in early, relative=node.level > 0)
        elif isinstance(node, ast.Call) and isinstance(name := _named(node), str):
            yield Import(module, name, node.lineno, node in early)


def _named(node: ast.Call) -> object:
    """Return the module that ``import_module("...")`` names, or None for any other call."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    first = node.args[0] if node.args else None
    return first.value if called in ("import_module", "__import__") and isinstance(first, ast.Constant) else None


def _early(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run at import: outside functions and outside ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _early(child)


def room(module: str) -> str:
    """Return the first part of the name."""
    return module.partition(".")[0]


def is_command(module: str) -> bool:
    """Tell whether the module is one of a room's commands."""
    return module.split(".")[1:2] == ["commands"]


def is_ours(target: str) -> bool:
    """Tell whether the target is part of the house."""
    return room(target) in (*ROOMS, "keyferry")


def offences(found: Import) -> Iterator[str]:
    """Yield the rules that the import breaks."""
    module, target = found.module, found.target
    speaks = is_command(module) or module in FRONT
    if found.relative:
        yield "imports are absolute"
    if is_ours(target):
        if target.startswith("vault.relay") and not (module.startswith("vault.relay") or module in RELAY_COMMANDS):
            yield "the relay is started by its command and used by nobody"
        if module in GROUND and target not in GROUND and target != "vault":
            yield "the ground stands on nothing of ours but the ground"
        if room(target) != room(module) and not _may_cross(module, target):
            yield "another room is entered by its door, and only from commands unless it is the vault"
        if room(target) == "keyferry" or (is_command(target) and not is_command(module)):
            yield "nobody imports the front door or a command"
        return
    outside = room(target)
    if outside in OF_THE_RELAY and module.startswith("vault.relay."):
        return
    if outside not in DEPENDENCIES | OF_DEPENDENCIES | sys.stdlib_module_names | {"__future__"}:
        yield "only the standard library and the agreed dependencies"
    if module in GROUND and outside not in sys.stdlib_module_names | {"msgspec", "__future__"}:
        yield "the ground needs only the standard library and msgspec"
    if outside in TALKING and not speaks:
        yield "click and rich belong to commands, the front door and the screen"
    if outside == "pandas" and module not in TABLES:
        yield "pandas belongs to tables and mapping"
    if outside in LATE and found.early:
        yield "pandas, keyring, rich and httpx2 are imported where they are needed"


def _may_cross(module: str, target: str) -> bool:
    if module == "keyferry":
        return target in ("vault", "vault.errors", "vault.screen")
    if room(target) == "vault":
        return room(module) != "vault" and (target == "vault" or target in GROUND | DOORS)
    return is_command(module) and target in DOORS


@pytest.mark.parametrize("module", list(HOUSE))
def test_imports_keep_the_rule(module: str) -> None:
    found = imports(module, HOUSE[module].read_text(encoding="utf-8"))
    assert [f"{one}: {rule}" for one in found for rule in offences(one)] == []


def test_the_front_door_leads_to_commands_only() -> None:
    assert all(is_command(place.partition(":")[0]) for place, _ in keyferry.COMMANDS.values())


def test_every_dependency_is_declared() -> None:
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name in DEPENDENCIES:
        assert f'    "{name.replace("_", "-")}>=' in declared, name


@pytest.mark.parametrize(
    ("module", "source", "broken"),
    [
        ("vault.model", "import msgspec, json", 0),
        ("vault.model", "import click", 2),
        ("vault.model", "from vault.store import Store", 1),
        ("vault.model", "from vault import store", 1),
        ("vault.store", "from migrate.catalog import read", 1),
        ("vault.commands.items", "from migrate.catalog import read", 0),
        ("vault.commands.items", "from migrate.ledger import Ledger", 1),
        ("vault.store", "import click", 1),
        ("vault.screen", "import click", 0),
        ("vault.screen", "import rich.table", 1),
        ("vault.screen", "def f():\n    import rich.table", 0),
        ("migrate.ledger", "from vault.store import Store", 0),
        ("migrate.ledger", "from vault.crypto import seal", 1),
        ("migrate.ledger", "def f():\n    from vault import crypto", 1),
        ("migrate.ledger", "from backup.archive import make", 1),
        ("migrate.commands.move", "from backup.archive import make", 0),
        ("migrate.commands.move", "from migrate.ledger import Ledger", 0),
        ("migrate.ledger", "from migrate.commands.move import migrate", 1),
        ("migrate.ledger", "from keyferry import main", 2),
        ("migrate.ledger", "from .proof import prove", 2),
        ("migrate.tables", "import pandas", 1),
        ("migrate.tables", "def f():\n    import pandas as pd", 0),
        ("migrate.tables", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas as pd", 0),
        ("migrate.proof", "def f():\n    import pandas as pd", 1),
        ("migrate.proof", "import requests", 1),
        ("migrate.proof", "def f():\n    import_module('requests')", 1),
    ],
)
def test_the_rule_notices(module: str, source: str, broken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("vault.store", "vault.crypto"):
        monkeypatch.setitem(HOUSE, name, ROOT)
    assert sum(1 for one in imports(module, source) for _ in offences(one)) == broken
