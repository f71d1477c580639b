"""What a paper reports, what is measured here, and whether the two agree."""

from __future__ import annotations

import dataclasses

VERDICTS = ("agrees", "partly", "disagrees", "not tested")
"""Not tested: the run is too small to decide it."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One published outcome: a clause of the paper, a clause of ours, one of `VERDICTS`."""

    published: str
    measured: str
    verdict: str


def outcome(published: str, measured: str, *holds: bool, tested: bool = True) -> Outcome:
    """Compare: it agrees if all conditions hold and disagrees if none does.

    `tested=False` where the run is too small to decide.

    Examples
    --------
    >>> outcome("PC is faster", "2.1 times as fast", 2.1 > 1).verdict
    'agrees'
    >>> outcome("faster and better", "faster, not better", True, False).verdict
    'partly'
    """
    if not tested:
        return Outcome(published, measured, "not tested")
    if not holds:
        raise ValueError(f"An outcome needs at least one condition that can fail. Got none for: {published}")
    verdict = "agrees" if all(holds) else "partly" if any(holds) else "disagrees"
    return Outcome(published, measured, verdict)


def verdict(outcomes: list[Outcome]) -> str:
    """The verdict of a figure: that of its outcomes where they are one, else `partly`.

    What was not tested does not count beside what was.

    Examples
    --------
    >>> verdict([outcome("a", "b", True), outcome("c", "d", tested=False)])
    'agrees'
    >>> verdict([])
    'new'
    """
    found = {o.verdict for o in outcomes}
    found = found - {"not tested"} or found
    return "new" if not found else found.pop() if len(found) == 1 else "partly"
