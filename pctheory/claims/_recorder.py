"""A pytest plugin that keeps the tests of claims only and records how each of them ended.

`pctheory.claims._verify` starts pytest with `-p pctheory.claims._recorder`. The marks travel with the reports
as user properties, which pytest-xdist's workers send back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._tests import evidence_of

if TYPE_CHECKING:
    import pytest

_RANK = ("passed", "skipped", "failed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    group = parser.getgroup("claims")
    group.addoption(
        "--claim", action="append", default=[], help="run the tests of this claim (default: of all)"
    )
    group.addoption("--claim-record", type=Path, help="write the outcomes to this file")


def pytest_configure(config: pytest.Config) -> None:
    """Record in the one process that sees every report."""
    path = config.getoption("claim_record")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(path), "claim-recorder")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Drop what verifies none of the claims asked for; tell the reports what the rest verifies."""
    wanted = set(config.getoption("claim"))
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        claims = {marker.args[0] for marker in item.iter_markers("claim")}
        if wanted:
            claims &= wanted
        (kept if claims else dropped).append(item)
        marked = item.get_closest_marker("evidence")
        kind = evidence_of(item.path.stem, marked.args[0] if marked else None)
        item.user_properties += [("claim", f"{claim}/{kind}") for claim in sorted(claims)]
    items[:] = kept
    config.hook.pytest_deselected(items=dropped)


class Recorder:
    """The outcome of every test of a claim: the worst of its phases."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outcomes: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one phase (setup, call, teardown) of one test."""
        test = self.outcomes.setdefault(report.nodeid, {"outcome": "passed", "seconds": 0.0, "claims": []})
        test["outcome"] = max(test["outcome"], report.outcome, key=_RANK.index)
        test["seconds"] += report.duration
        test["claims"] = [value for name, value in report.user_properties if name == "claim"]

    def pytest_sessionfinish(self) -> None:
        """Write the record."""
        self.path.write_text(json.dumps(self.outcomes))
