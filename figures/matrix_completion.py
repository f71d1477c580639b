r"""Matrix completion from the origin and from the saddles of BP: plateaus at the errors of the best fits of
lower rank.

What to see: BP at the published scale flat for a long time at each plateau, PC at its own scale out much
sooner; at the matched scale PC reaches half of the loss in about ten times fewer iterations, and leaves BP's
saddles of rank one and two sooner, too. An iteration of PC takes the inference steps besides: by passes over
the network BP is the one that is sooner.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import matrix_completion
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._escapes import iterations_to, span
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = matrix_completion
TITLE = "In matrix completion PC leaves saddles in fewer iterations, not in fewer passes"
SOURCE = "SAD 6"
SIZE = (5.5, 4.4)
LABELS = {
    "bp": "BP",
    "pc": "PC",
    "bp-published": "BP, published scale",
    "pc-published": "PC, published scale",
}
RATED = (0.9, 0.6)
"""Shares of the ratings' first error: the origin is left, the saddle of rank one is left."""


PASSES = {"bp": 1, "pc": matrix_completion.Config().inference_steps + 1}
"""Passes over the network, forwards and back, of an iteration: one for each step of inference, one for the
weights.
"""
SEEN = 1e-2
"""Share of the first error down to which the runs are drawn: PC's go no further than that."""


def draw(fig: Figure, result: Result) -> None:
    """Errors by activation against iterations, with the best fits of each rank; against passes, up to where
    the first of both rules stops, the linear network and the ratings. The first draw.
    """
    matrices, ratings = fig.subfigures(2, 1, height_ratios=(1.75, 1.0))
    curves = result["curves"]
    grid = matrices.add_gridspec(1, max(len(curves), 1))
    axes = [matrices.add_subplot(grid[k]) for k in range(len(curves))]
    bottom = ratings.subplots(1, 3)
    for ax in (*axes, *bottom):
        ax.set(xscale="log", yscale="log", xlabel="iteration" if ax in axes else "passes over the network")
    for ax, (activation, runs) in zip(axes, curves.items(), strict=True):
        for rank, value in enumerate(result["ranks"][0]):
            label = "best fits of lower rank" if rank == 0 else None
            ax.axhline(value, color=plotting.COLOURS["theory"], lw=0.7, ls=":", label=label)
        _runs(ax, runs)
        ax.set_title(_names.activation(activation))
        ax.set_ylim(SEEN * result["ranks"][0][0], 3 * result["ranks"][0][0])
    axes[0].set_ylabel("mean squared error")
    for method in LABELS:
        _by_passes(bottom[0], curves["linear"], method, "error", 1.0)
    bottom[0].set(title="linear", ylabel="mean squared error", ylim=axes[0].get_ylim())
    _ratings(bottom[1:], result["ratings"])
    for ax in bottom:
        ax.set_xlim(1e3, budget(curves["linear"]))
    plotting.letter([*axes, *bottom])
    plotting.legend_outside(matrices, axes[0], "bottom", ncols=3)


def budget(runs: Any) -> float:
    """The passes that both rules have at the matched scale."""
    return min(float(runs[rule]["step"][-1]) * passes for rule, passes in PASSES.items())


def within(runs: Any, rule: str) -> np.ndarray:
    """Which records of a run lie within the budget of both."""
    return PASSES[rule] * np.asarray(runs[rule]["step"]) <= budget(runs)


def _by_passes(ax: Axes, runs: Any, method: str, name: str, unit: float) -> None:
    rule, style = method[:2], "--" if method.endswith("published") else "-"
    steps, values = np.asarray(runs[method]["step"])[1:], np.asarray(runs[method][name][0])[1:]
    ax.plot(PASSES[rule] * steps, values / unit, style, color=plotting.COLOURS[rule])


def _runs(ax: Axes, runs: Any) -> None:
    """Both rules at both scales, each to where its run stopped (square), and PC from the saddles of BP."""
    for method, label in LABELS.items():
        run, color = runs[method], plotting.COLOURS[method[:2]]
        style = "--" if method.endswith("published") else "-"
        steps, values = np.asarray(run["step"])[1:], np.asarray(run["error"][0])[1:]
        ax.plot(steps, values, style, color=color, label=label)
        ax.plot(steps[-1], values[-1], "s", color=color, mfc="white", ms=3.2, zorder=5)
    colour = plotting.COLOURS["highlight"]
    for number, run in enumerate(runs["bp"]["saddles"].values()):
        steps = run["from"][0] + np.asarray(run["step"])
        name_once = "PC from a saddle of BP" if number == 0 else None
        ax.plot(steps, run["error"][0], "o-", color=colour, ms=2.5, markevery=[0], label=name_once)


def _ratings(axes: np.ndarray, ratings: Any) -> None:
    seen, hidden = axes
    for value in ratings["ranks"]:
        seen.axhline(value / ratings["observed"], color=plotting.COLOURS["theory"], lw=0.7, ls=":")
    for method in ratings["runs"]:
        _by_passes(seen, ratings["runs"], method, "error", ratings["observed"])
        _by_passes(hidden, ratings["runs"], method, "hidden_error", ratings["hidden"])
    seen.set(title="MovieLens, observed", yscale="linear", ylim=(0, None), ylabel="squared error, stars$^2$")
    hidden.set(title="MovieLens, hidden", yscale="linear", ylabel="squared error, stars$^2$")


def to(run: Any, fraction: float) -> np.ndarray:
    """Iterations to this fraction of the first error, per draw."""
    return iterations_to(run["step"], run["error"], fraction)


def from_saddle(runs: Any, number: int) -> dict[str, np.ndarray]:
    """The error at a saddle of BP and the iterations in which BP and PC halve it from there, per draw; NaN:
    not reached.
    """
    bp, pc = runs["bp"], runs["bp"]["saddles"][str(number)]
    steps, found = np.asarray(bp["step"], dtype=float), []
    for start, errors in zip(pc["from"], bp["error"], strict=True):
        later = steps >= start
        found.append(
            iterations_to(steps[later] - start, errors[None, later], 0.5)[0] if later.any() else np.nan
        )
    return {"error": np.asarray(pc["error"])[:, 0], "bp": np.array(found), "pc": to(pc, 0.5)}


def caption(result: Result, meta: Meta) -> str:
    """Plateaus, iterations to a half of the error and out of a saddle of BP, the ratings."""
    n, c = numbers(result), meta.config
    ranks = ", ".join(f"{v:.4g}" for v in result["ranks"][0])
    half = "; ".join(
        f"{_names.activation(activation)} {span(to(runs['bp'], 0.5))} and {span(to(runs['pc'], 0.5))}"
        for activation, runs in result["curves"].items()
    )
    return (
        "By iterations PC leaves the plateaus of matrix completion sooner; by passes over the network "
        rf"({PASSES['pc']} to an iteration) BP does. A {c['size']} x "
        rf"{c['size']} matrix of rank {c['rank']}, {100 * c['hidden_share']:g}% hidden, $H = "
        rf"{c['hidden_layers']}$, $\sigma = {c['init']:g}$, $T = {c['inference_steps']}$; one draw. "
        "Dashed: published scales; squares: the run was stopped; red: PC from BP's saddles; dotted: best "
        rf"fits of lower rank, {ranks} (published elsewhere: 3.446, 1.096, 0.1255). Iterations of "
        rf"BP and PC to half the error: {half} (published: 10000 and 1000). (d-f) "
        rf"Equal passes; linear: {n['half-passes-bp']} and {n['half-passes-pc']} to half. (e, f) "
        rf"{c['films']} films and users: {n['ratings-bp']} and {n['ratings-pc']} iterations to {RATED[0]:g} "
        rf"of the observed error; lowest hidden error {n['ratings-hidden-bp']} and {n['ratings-hidden-pc']} "
        rf"stars. ({meta.setting}; {c['seeds']} draw{'s' if c['seeds'] > 1 else ''}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Iterations to half of the error, linear network, and out of BP's saddles, with their ratios; the
    ratings.
    """
    runs, ratings = result["curves"]["linear"], result["ratings"]
    half = {m: to(runs[m], 0.5) for m in LABELS}
    found: dict[str, str | float] = {
        **{f"half-{m}": span(half[m]) for m in LABELS},
        **{f"half-passes-{rule}": span(passes * half[rule]) for rule, passes in PASSES.items()},
        "passes": PASSES["pc"],
        "ratio": span(half["bp"] / half["pc"]),
        "ratio-published": span(half["bp-published"] / half["pc-published"]),
        **{f"rank-{k}": float(f"{v:.4g}") for k, v in enumerate(result["ranks"][0])},
        "ratings-known": span(100 * (ratings["observed"] + ratings["hidden"])),
        "ratings-hidden-first": span(np.sqrt(ratings["first_hidden_error"] / ratings["hidden"]), digits=3),
    }
    for activation, own in result["curves"].items():
        for number in own["bp"]["saddles"]:
            at = from_saddle(own, int(number))
            name = f"saddle-{number}-{activation}"
            found |= {f"{name}-{rule}": span(at[rule]) for rule in ("bp", "pc")}
            found[f"{name}-ratio"] = span(at["bp"] / at["pc"])
    for rule, run in ratings["runs"].items():
        found[f"ratings-{rule}"], found[f"ratings-two-{rule}"] = (span(to(run, share)) for share in RATED)
        kept = np.asarray(run["hidden_error"])[:, within(ratings["runs"], rule)]
        lowest = float(np.nanmin(kept)) / ratings["hidden"]
        found[f"ratings-hidden-{rule}"] = span(np.sqrt(lowest), digits=3)
    found["ratings-ratio"] = span(to(ratings["runs"]["bp"], RATED[0]) / to(ratings["runs"]["pc"], RATED[0]))
    return found


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """The plateaus of BP and the iterations to half of the error, linear networks."""
    n, runs = numbers(result), result["curves"]["linear"]
    bp, pc = (float(np.nanmedian(to(runs[method], 0.5))) for method in ("bp", "pc"))
    return [
        outcome(
            "at the matched scale half of the error is gone after about 10000 (BP) and 1000 (PC) iterations",
            f"{n['half-bp']} and {n['half-pc']}",
            1 / 2 < bp / 1e4 < 2,
            1 / 2 < pc / 1e3 < 2,
        ),
        outcome(
            "PC leaves the saddles of lower rank sooner than BP",
            f"rank 1: BP takes {n.get('saddle-1-linear-ratio', 'unknown')} times as long, "
            f"rank 2: {n.get('saddle-2-linear-ratio', 'unknown')}",
            *(bool(np.nanmin(at["bp"] / at["pc"]) > 1) for at in _left(runs)),
            tested=len(_left(runs)) > 0,
        ),
    ]


def _left(runs: Any) -> list[dict[str, np.ndarray]]:
    """Iterations out of the saddles of BP, where some run left."""
    every = [from_saddle(runs, int(number)) for number in runs["bp"]["saddles"]]
    return [at for at in every if np.any(np.isfinite(at["bp"] / at["pc"]))]
