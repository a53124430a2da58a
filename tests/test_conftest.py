"""A skip that may not be is noticed, and a table shown, in one process and in several."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SKIPPED = "import pytest\ndef test_ok(): pass\ndef test_age(): pytest.skip('needs age')\n"
WHOLE_FILE = "import pytest\npytest.importorskip('no_such_module')\ndef test_never(): pass\n"
TOLD = "def test_it(record_property): record_property('table', 'calls 64, tested 64')\n"
EXPECTED_TO_FAIL = "import pytest\n@pytest.mark.xfail\ndef test_known(): assert False\n"


def run(place: Path, source: str, *options: str, no_skip: str) -> tuple[int, str]:
    shutil.copy(HERE / "conftest.py", place)
    (place / "test_it.py").write_text(source)
    call = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, str(place)]
    environment = {**os.environ, "KEYFERRY_NO_SKIP": no_skip}
    done = subprocess.run(call, cwd=place, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one", "several"])
@pytest.mark.parametrize(("source", "reason"), [(SKIPPED, "needs age"), (WHOLE_FILE, "no_such_module")])
def test_a_skip_fails_the_run_and_is_named(tmp_path: Path, options: tuple[str, ...], source: str, reason: str) -> None:
    code, shown = run(tmp_path, source, *options, no_skip="1")
    assert code != 0
    assert reason in shown.partition("KEYFERRY_NO_SKIP is set")[2]


def test_a_skip_is_fine_where_it_is_allowed(tmp_path: Path) -> None:
    assert run(tmp_path, SKIPPED, no_skip="")[0] == 0


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    assert run(tmp_path, EXPECTED_TO_FAIL, no_skip="1")[0] == 0


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one", "several"])
def test_a_table_is_shown_at_the_end(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert "\ncalls 64, tested 64\n" in run(tmp_path, TOLD, *options, no_skip="")[1]
