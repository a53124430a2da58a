"""What all tests share: no test meets the user's own vault or keyring, and no skip goes unnoticed where none may be.

With ``KEYFERRY_NO_SKIP=1`` a skipped test makes the run fail and is named. What a test records as its ``table`` is
shown at the end of the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")

_PERSONAL = ("DBUS_SESSION_BUS_ADDRESS", "PYTHON_KEYRING_BACKEND", "KEYFERRY_DEBUG", "NO_COLOR", "FORCE_COLOR")
_skipped: list[str] = []
_tables: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a person write the goldens of samples anew, and then read the difference."""
    parser.addoption("--bless", action="store_true", help="write the goldens of samples as they are read now")


@pytest.fixture(scope="session", autouse=True)
def _nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point everything that has a default place at a folder of this run."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _PERSONAL:
            patch.delenv(name, raising=False)
        patch.setenv("KEYFERRY_HOME", str(tmp_path_factory.mktemp("home") / "keyferry"))
        yield


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note each skipped test, an expected failure is none, and each table."""
    if report.when == "call":
        _tables.extend(str(value) for name, value in report.user_properties if name == "table")
    if report.skipped and not hasattr(report, "wasxfail"):
        _note(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note each file that was skipped as a whole."""
    if report.skipped:
        _note(report)


def _note(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    _skipped.append(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turn a run with skips into a failed one where none may be."""
    if _skipped and _no_skip() and not exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the tables, and name the skips that failed the run."""
    for table in _tables:
        terminalreporter.line(f"\n{table}")
    if _skipped and _no_skip():
        terminalreporter.section("skipped, and KEYFERRY_NO_SKIP is set", red=True)
        for line in dict.fromkeys(_skipped):
            terminalreporter.line(line)


def _no_skip() -> bool:
    return os.environ.get("KEYFERRY_NO_SKIP") == "1"


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case by its place where its value is bytes or long: such values are often random, names must not be."""
    return argname if isinstance(val, bytes) or (isinstance(val, str) and len(val) > 24) else None
