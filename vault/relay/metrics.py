"""Sums of what a relay did, in the text form that Prometheus reads; no vault, device or address appears."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vault.relay.grouping import Committer

MEDIA_TYPE = "text/plain; version=0.0.4"


@dataclass(slots=True)
class Counts:
    """Answers by endpoint and status, and failures of the relay itself."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: int = 0

    def count(self, endpoint: str, status: int) -> None:
        """Note an answer."""
        self.answers[endpoint, status] += 1


def page(counts: Counts, committer: Committer, watchers: int) -> str:
    """Return the page."""
    lines = ["# HELP keyferry_relay_answers_total Answers by endpoint and status.", *_type("answers_total", "counter")]
    for (endpoint, status), count in sorted(counts.answers.items()):
        lines.append(f'keyferry_relay_answers_total{{endpoint="{endpoint}",status="{status}"}} {count}')
    sums = (
        ("failures_total", "counter", "Requests that failed for a reason of the relay's own.", counts.failures),
        ("commits_total", "counter", "Durable commits.", committer.commits),
        ("writes_total", "counter", "Writes that shared these commits.", committer.writes),
        ("commit_failures_total", "counter", "Commits that failed.", committer.failures),
        ("watchers", "gauge", "Requests that wait for a change.", watchers),
    )
    for name, kind, help_, value in sums:
        lines += [f"# HELP keyferry_relay_{name} {help_}", *_type(name, kind), f"keyferry_relay_{name} {value}"]
    return "\n".join(lines) + "\n"


def _type(name: str, kind: str) -> list[str]:
    return [f"# TYPE keyferry_relay_{name} {kind}"]
