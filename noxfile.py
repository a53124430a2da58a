"""What a change must pass. ``./check`` runs it in ``.venv``; a bare ``nox`` makes an environment for each session."""

import sys
from pathlib import Path

import nox

HERE = Path(__file__).resolve().parent

nox.options.default_venv_backend = "none" if Path(sys.prefix).resolve() == HERE / ".venv" else "venv"
nox.options.sessions = ["lint", "types", "tests", "docs"]


def python(session: nox.Session, *arguments: str) -> None:
    """Run a Python module of the session's environment."""
    if not isinstance(session.virtualenv, nox.virtualenv.PassthroughEnv):
        session.install("-e", ".[dev]")
    session.run("python", "-m", *arguments)


@nox.session
def lint(session: nox.Session) -> None:
    """The layout and the habits of the code."""
    python(session, "ruff", "format", "--check", ".")
    python(session, "ruff", "check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Every type, strictly."""
    python(session, "mypy", "--strict")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests but the documents; more arguments go to pytest."""
    python(session, "pytest", "-n", "2", "--ignore=tests/test_docs.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The examples in the documents, typed and compared."""
    python(session, "pytest", "tests/test_docs.py", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Every parser of what strangers send, for a night; arguments as of ``python -m tests.fuzz``."""
    python(session, "tests.fuzz", *(session.posargs or ["--runs", "10000000"]))


@nox.session
def lies(session: nox.Session) -> None:
    """Every lie of a relay about a shortened log, over HTTPS to real processes; arguments are names of some."""
    python(session, "tests.real.shortened", *session.posargs)
