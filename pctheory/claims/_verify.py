"""Run the tests of claims and give a verdict for each claim and kind of check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._claim import EVIDENCE, Claim
from ._tests import ROOT, find_tests

__all__ = ["Verdicts", "verify"]

_THREADS = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}


@dataclass(frozen=True)
class Verdicts:
    """What the tests of claims say.

    Attributes
    ----------
    claims : id -> kind -> record
        Each record holds `verdict`, `tests` (node ids without parameters), `cases` (with them) and `seconds`.
        A verdict is "passed", "failed" (one case or more failed), "skipped" (one or more was not run, none
        failed), or "none": there is no such check.
    missing : tuple of (id, kind)
        Checks that the catalogue lists and no test makes.
    seconds : float
        Time of the whole run.
    broken : bool
        Pytest stopped before the tests could run, for instance on a file that cannot be imported.
    """

    claims: Mapping[str, Mapping[str, Mapping[str, Any]]]
    missing: tuple[tuple[str, str], ...]
    seconds: float
    broken: bool

    @property
    def ok(self) -> bool:
        """Whether every check that the catalogue lists exists and passed."""
        bad = any(
            r["verdict"] in ("failed", "skipped") for kinds in self.claims.values() for r in kinds.values()
        )
        return not (bad or self.missing or self.broken)

    def __str__(self) -> str:
        width = max(map(len, self.claims), default=2)
        lines = [f"{'id':{width}}  symbolic  numerical  empirical  tests  cases  seconds"]
        for claim, kinds in self.claims.items():
            marks = "  ".join(
                ("missing" if (claim, kind) in self.missing else kinds[kind]["verdict"]).ljust(len(kind))
                for kind in EVIDENCE
            )
            tests, cases = (sum(kinds[kind][key] for kind in EVIDENCE) for key in ("functions", "cases"))
            seconds = sum(kinds[kind]["seconds"] for kind in EVIDENCE)
            lines.append(f"{claim:{width}}  {marks}  {tests:5d}  {cases:5d}  {seconds:7.1f}")
        count = sum(r["verdict"] == "passed" for kinds in self.claims.values() for r in kinds.values())
        listed = count + sum(
            r["verdict"] in ("failed", "skipped") for kinds in self.claims.values() for r in kinds.values()
        )
        lines.append(
            f"{len(self.claims)} claims, {count} of {listed + len(self.missing)} checks passed, "
            f"{self.seconds:.0f} s"
        )
        if self.broken:
            lines.append("pytest could not run all tests: its report above says why.")
        return "\n".join(lines)

    def to_json(self) -> str:
        """The verdicts as JSON text, for the paper's ticks."""
        return json.dumps({"seconds": round(self.seconds, 1), "claims": self.claims}, indent=1) + "\n"


def verify(claims: Sequence[Claim], *, jobs: int = 1, tests: Path = ROOT / "tests") -> Verdicts:
    """Run every test that is marked with one of `claims`, in one pytest process with `jobs` workers.

    Pytest reports on standard error while it runs.

    Parameters
    ----------
    claims : sequence of Claim
        Those whose tests are run.
    jobs : int
        Processes of pytest.
    tests : Path
        The folder of the tests.

    Returns
    -------
    Verdicts

    Raises
    ------
    ValueError
        If the tests are not there.
    """
    if not tests.is_dir():
        raise ValueError(
            f"`verify` must run in a checkout, where tests/ lies beside the package. {tests} is not a folder."
        )
    ids = [claim.id for claim in claims]
    files = sorted({test.path for test in find_tests(tests) if test.claim in set(ids)})
    start = time.perf_counter()
    outcomes, broken = _run(ids, files, jobs, tests.parent) if files else ({}, False)
    seconds = time.perf_counter() - start
    records = {claim: {kind: _record(outcomes, claim, kind) for kind in EVIDENCE} for claim in ids}
    missing = tuple(
        (claim.id, kind)
        for claim in claims
        for kind in claim.evidence
        if records[claim.id][kind]["verdict"] == "none"
    )
    return Verdicts(records, missing, seconds, broken)


def _run(ids: Sequence[str], files: Sequence[str], jobs: int, root: Path) -> tuple[dict[str, Any], bool]:
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.json"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "pctheory.claims._recorder",
            "-p",
            "no:cacheprovider",
        ]
        command += ["-q", "--no-header", f"--claim-record={record}", *(f"--claim={claim}" for claim in ids)]
        if jobs > 1:
            command += ["-n", str(jobs)]
        # A new process: BLAS reads its number of threads when numpy is first imported.
        environment = {**os.environ, **_THREADS}
        result = subprocess.run([*command, *files], cwd=root, env=environment, stdout=2, check=False)
        outcomes = json.loads(record.read_text()) if record.exists() else {}
    return outcomes, result.returncode not in (0, 1)


def _record(outcomes: Mapping[str, Any], claim: str, kind: str) -> dict[str, Any]:
    cases = {node: o for node, o in outcomes.items() if f"{claim}/{kind}" in o["claims"]}
    reached = {o["outcome"] for o in cases.values()}
    verdict = next((v for v in ("failed", "skipped", "passed") if v in reached), "none")
    tests = sorted({node.partition("[")[0] for node in cases})
    return {
        "verdict": verdict,
        "tests": tests,
        "functions": len(tests),
        "cases": len(cases),
        "seconds": round(sum(o["seconds"] for o in cases.values()), 2),
    }
