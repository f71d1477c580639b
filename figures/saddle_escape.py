r"""Images from near the origin and from near a zero-rank saddle: BP stays on the plateau of the zero output,
PC leaves it.

What to see: at the published scales BP flat at a mean squared error of 0.1 while PC leaves within hundreds of
iterations and passes a second plateau near 0.09, the best linear map of rank one; at the matched scale PC
still leaves first.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import saddle_escape
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._escapes import each, iterations_to, rounded, span
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = saddle_escape
TITLE = "Predictive coding leaves the origin and a zero-rank saddle sooner"
SOURCE = "SAD 5, 11, 12"
SIZE = (5.5, 3.7)
LABELS = {"bp": "BP, matched scale", "pc": "PC", "bp-published": "BP, published scale"}
STARTS = {"origin": "near the origin", "zero-rank": "near a zero-rank saddle"}
SHARES = (0.95, 0.8)
"""Shares of the first loss: past the first plateau, past the second."""
MEAN = 2 / 10
"""What the mean over batch and outputs is of the loss."""


def draw(fig: Figure, result: Result) -> None:
    """Rows: starts. Columns: activations. The first data set dark, the second light. All runs are shown for
    the iterations that PC was given.
    """
    curves = result["curves"]
    first = next(iter(curves.values()))
    starts = list(first)
    activations = list(first[starts[0]])
    axes = fig.subplots(len(starts), len(activations), squeeze=False, sharex=True, sharey=True)
    plotting.letter(axes)
    for number, (name, by_start) in enumerate(curves.items()):
        shown = {"alpha": 1.0 if number == 0 else 0.45}
        for start, row in zip(starts, axes, strict=True):
            for activation, ax in zip(activations, row, strict=True):
                ax.set_xscale("log")
                _lines(ax, by_start[start][activation], _data(result, name), number, shown)
                for rank, loss in enumerate(result["plateaus"][name]):
                    label = "best linear maps of rank 0, 1, 2" if number == rank == 0 else None
                    line = {"color": plotting.COLOURS["theory"], "lw": 0.7, "ls": ":", "label": label}
                    ax.axhline(MEAN * loss, **line, **shown)
    for ax, activation in zip(axes[0], activations, strict=True):
        ax.set_title(_names.activation(activation))
    for start, row in zip(starts, axes, strict=True):
        row[0].set_ylabel(f"{STARTS[start]}\nmean squared error")
    axes[0, 0].set_ylim(bottom=0)
    steps = first[starts[0]][activations[0]]["pc"]["step"]
    axes[0, 0].set_xlim(max(1.0, float(steps[-1]) / 150), float(steps[-1]))
    for ax in axes[-1]:
        ax.set_xlabel("iteration")
    plotting.legend_outside(fig, axes[0, 0], "bottom", ncols=3)


def _lines(ax: Axes, runs: Any, data: str, number: int, shown: dict[str, Any]) -> None:
    for method, label in LABELS.items():
        run = runs[method]
        steps, errors = np.asarray(run["step"])[1:], MEAN * np.asarray(run["loss"])[:, 1:]
        line = {**shown, "ls": "--" if method.endswith("published") else "-"}
        named = label if number == 0 else f"PC, {data}" if method == "pc" else None
        plotting.spread(ax, steps, errors, plotting.COLOURS[method[:2]], named, **line)


def _data(result: Result, name: str) -> str:
    return _names.dataset(result["datasets"][name])


def escape(run: Any, share: float = SHARES[0]) -> np.ndarray:
    """Iterations to a loss of at most this share of the first one, per seed; NaN: never."""
    return iterations_to(run["step"], run["loss"], share)


def plateau(run: Any) -> np.ndarray:
    """Loss where it changes least from record to record between the two shares, per seed; NaN: none
    recorded there.
    """
    found = []
    for row in np.asarray(run["loss"], dtype=float):
        inside = (row > SHARES[1] * row[0]) & (row < SHARES[0] * row[0])
        pairs = np.flatnonzero(inside[:-1] & inside[1:])
        if len(pairs) == 0:
            found.append(np.nan)
            continue
        flattest = pairs[np.argmin(np.abs(np.diff(row))[pairs])]
        found.append(row[flattest : flattest + 2].mean())
    return np.array(found)


def _time(run: Any, share: float = SHARES[0]) -> str:
    return span(escape(run, share), f"more than {rounded(float(run['step'][-1]))}")


def speed_up(runs: Any, method: str, share: float = SHARES[0]) -> np.ndarray:
    """Iterations of a run of BP over those of PC, per seed; infinite where BP does not arrive."""
    slow, quick = escape(runs[method], share), escape(runs["pc"], share)
    return np.where(np.isnan(slow), np.inf, slow) / quick


def _over(by_activation: Any, method: str, share: float) -> str:
    ratios = [speed_up(runs, method, share) for runs in by_activation.values()]
    least = min(
        float(runs[method]["step"][-1]) / float(np.nanmax(escape(runs["pc"], share)))
        for runs in by_activation.values()
    )
    return span(ratios, f"more than {rounded(least)}")


def caption(result: Result, meta: Meta) -> str:
    """Times of escape from both starts, speed-ups at both scales, plateaus."""
    n, c = numbers(result), meta.config
    name, by_start = next(iter(result["curves"].items()))
    times = "; ".join(
        f"{STARTS[start]} "
        + each(runs, lambda a, runs=runs: f"{_time(runs[a]['pc'])} and {_time(runs[a]['bp'])}")
        for start, runs in by_start.items()
    )
    over, published = (
        " and ".join(str(n[f"speed-up-{start}-{method}"]) for start in by_start)
        for method in ("bp", "bp-published")
    )
    return (
        "PC leaves both kinds of saddle sooner. Near the origin and near a zero-rank saddle BP takes "
        rf"{over} times as long; at the published scales {published}. $H = {c['hidden_layers']}$, $\sigma = "
        rf"{c['init']:g}$, $T = {c['inference_steps']}$; zero-rank: the last hidden matrix from torch. "
        rf"Shown: {c['pc_iterations']} iterations, BP also at the published scale "
        rf"(dashed, steps {c['batch_size'] / MEAN:g} times shorter); light: "
        rf"{_data(result, list(result['curves'])[-1])}. Iterations of PC and BP to {SHARES[0]:g} of the loss "
        rf"on {_data(result, name)}: {times}. Plateaus: {n['plateau-first']} (published: "
        rf"0.1), then {n['plateau-pc']} (near 0.09); dotted, best map of rank one: {n['plateau-rank-1']}. "
        rf"({meta.setting}; {_names.seeds(c)}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Times of escape, speed-ups over activations and data sets, plateaus as mean squared errors."""
    curves = result["curves"]
    found: dict[str, str | float] = {
        f"{name}-{start}-{activation}-{method}": _time(run)
        for name, by_start in curves.items()
        for start, by_activation in by_start.items()
        for activation, runs in by_activation.items()
        for method, run in runs.items()
    }
    for start in next(iter(curves.values())):
        for method in ("bp", "bp-published"):
            own = {(n, a): runs for n, by_start in curves.items() for a, runs in by_start[start].items()}
            found[f"speed-up-{start}-{method}"] = _over(own, method, SHARES[0])
    every = [runs for by_start in curves.values() for kinds in by_start.values() for runs in kinds.values()]
    for method in ("pc", "bp"):
        found[f"plateau-{method}"] = span([MEAN * plateau(runs[method]) for runs in every], digits=3)
    found["plateau-first"] = span([MEAN * runs["bp"]["loss"][:, 0] for runs in every], digits=2)
    found["plateau-rank-1"] = span([MEAN * lines[1] for lines in result["plateaus"].values()], digits=3)
    return found


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """At the published scales: BP stays, PC leaves within hundreds of iterations; the second plateau."""
    runs = [r for starts in result["curves"].values() for kinds in starts.values() for r in kinds.values()]
    pc = np.concatenate([escape(run["pc"]) for run in runs])
    bp = np.concatenate([escape(run["bp-published"]) for run in runs])
    second = [MEAN * plateau(run["pc"]) for run in runs]
    return [
        outcome(
            "at the published scales BP stays while PC leaves within hundreds of iterations",
            f"PC after {span(pc)} iterations; BP: {span(bp)}",
            bool(np.nanmax(pc) < 1000),
            bool(np.all(~(bp < 10 * np.nanmax(pc)))),
        ),
        outcome(
            "the plateaus lie at a mean squared error of 0.1 and near 0.09",
            f"{numbers(result)['plateau-first']} and {span(second, digits=3)}",
            bool(np.allclose(np.concatenate([np.ravel(v) for v in second]), 0.09, atol=0.005)),
        ),
    ]
