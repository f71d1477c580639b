r"""How well each rule trains a network, by depth, and what each of its layers has learned.

Theory: exact inference at a hidden precision :math:`\pi = L / (\alpha N)` gives every layer nearly the
gradient of backpropagation, at every depth; the published inference reaches the layers next to the output.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from experiments import depth_all_layers
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = depth_all_layers
TITLE = "Predictive coding that trains every layer"
SOURCE = "here"
SIZE = (5.5, 3.9)
RULES = {
    "published": ("PC as published", plotting.COLOURS["sp"], "s"),
    "unit": (r"PC exact, $\pi = 1$", plotting.COLOURS["newton"], "^"),
    "pc": ("PC exact, larger $\\alpha$", plotting.COLOURS["pc"], "o"),
    "near": ("PC exact, smaller $\\alpha$", "#1d3f66", "D"),
    "bp": ("BP", plotting.COLOURS["bp"], "v"),
}
"""Label, colour and marker of each rule."""
MATTERS = 0.005
"""Loss of accuracy by a reset above which a layer is counted."""
GOAL = 0.2
"""Points that exact inference may be behind backpropagation."""


def depths(result: Result, dataset: str, rule: str) -> list[int]:
    """Hidden layers of the networks that a rule trained, shallowest first."""
    return sorted(int(h) for h, rules in result["runs"][dataset].items() if rule in rules)


def layers(run: Result) -> int:
    """Layers whose reset costs more than `MATTERS` in the mean over seeds."""
    return int(np.sum(np.mean(run["lost"], axis=0) > MATTERS))


def behind(result: Result, dataset: str, rule: str, hidden: int) -> np.ndarray:
    """Points by which a rule is behind backpropagation, (seeds,): both start from one network."""
    bp, own = (result["runs"][dataset][str(hidden)][name] for name in ("bp", rule))
    return 100 * (np.asarray(bp["accuracy"]) - np.asarray(own["accuracy"]))


def relative_time(result: Result, dataset: str, rule: str, hidden: int) -> float:
    """Processor time of an iteration over that of backpropagation, means over the seeds."""
    own, bp = (result["runs"][dataset][str(hidden)][name] for name in (rule, "bp"))
    return float(np.mean(own["seconds"]) / np.mean(bp["seconds"]))


def runs(result: Result) -> Iterator[tuple[str, int, str, Result]]:
    """Data set, depth, rule and record of every run."""
    for dataset, networks in result["runs"].items():
        for hidden, rules in networks.items():
            for rule, run in rules.items():
                yield dataset, int(hidden), rule, run


def at_edge(run: Result) -> bool:
    """Whether the best rate was an end of its grid."""
    return len(run["rates"]) > 1 and run["rate"] in (np.min(run["rates"]), np.max(run["rates"]))


def deepest(result: Result) -> int:
    """Depth of the lower panel: the deepest network that the published rule trained."""
    return depths(result, next(iter(result["runs"])), "published")[-1]


def draw(fig: Figure, result: Result) -> None:
    """Accuracy, passes and time against depth, and the cost of resetting each layer."""
    grid = fig.add_gridspec(2, 3)
    top = [fig.add_subplot(grid[0, column]) for column in range(3)]
    bottom = fig.add_subplot(grid[1, :])
    first = next(iter(result["runs"]))
    for rule, (label, colour, marker) in RULES.items():
        look: dict[str, Any] = {"marker": marker, "ms": 3.5, "lw": 0.9}
        for dataset, style in zip(result["runs"], ("-", "--"), strict=False):
            at = depths(result, dataset, rule)
            accuracy = 100 * np.array([result["runs"][dataset][str(h)][rule]["accuracy"] for h in at]).T
            plotting.spread(
                top[0], at, accuracy, colour, label if dataset == first else None, linestyle=style, **look
            )
        at = depths(result, first, rule)
        passes = [np.mean(result["runs"][first][str(h)][rule]["passes"]) for h in at]
        top[1].plot(at, passes, color=colour, **look)
        top[2].plot(at, [relative_time(result, first, rule, h) for h in at], color=colour, **look)
        if (hidden := deepest(result)) in at:
            lost = 100 * np.asarray(result["runs"][first][str(hidden)][rule]["lost"])
            plotting.spread(
                bottom, np.arange(1, lost.shape[1] + 1), lost, colour, marker=marker, ms=2.5, lw=0.8
            )
    for ax in top:
        plotting.log2_axis(ax, "x")
        ax.set_xlabel("hidden layers $H$")
    for ax in top[1:]:
        plotting.log2_axis(ax, "y")
    top[0].set_ylabel("test accuracy (%)")
    top[1].set_ylabel("passes an iteration")
    top[2].set_ylabel("time / time of BP")
    bottom.axhline(100 * MATTERS, color=plotting.COLOURS["quiet"], lw=0.6, ls=":")
    bottom.set(xlabel="layer $l$", ylabel="points lost by its reset", title=f"$H = {deepest(result)}$")
    bottom.set_yscale("symlog", linthresh=1)
    bottom.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    plotting.letter([*top, bottom])
    plotting.legend_outside(fig, top[0], "bottom", ncols=5)


def numbers(result: Result) -> dict[str, str | float]:
    """By data set, rule and depth: best rate, accuracy and its deviation over seeds, points behind
    backpropagation, layers that matter, passes, time over backpropagation's; true error of the last weight
    gradient in per cent, and loss over energy.
    """
    found: dict[str, str | float] = {}
    for dataset, hidden, rule, run in runs(result):
        name = f"{dataset}-{rule}-{hidden}"
        accuracy = 100 * np.asarray(run["accuracy"])
        found[f"{name}-rate"] = f"{float(run['rate']):g}"
        found[name] = f"{accuracy.mean():.1f}"
        found[f"{name}-deviation"] = f"{accuracy.std(ddof=1) if len(accuracy) > 1 else 0.0:.1f}"
        found[f"{name}-behind"] = f"{behind(result, dataset, rule, hidden).mean():.2f}"
        found[f"{name}-layers"] = layers(run)
        found[f"{name}-passes"] = f"{float(np.mean(run['passes'])):.1f}"
        found[f"{name}-time"] = f"{relative_time(result, dataset, rule, hidden):.1f}"
        if rule in ("pc", "near"):
            found[f"{name}-true"] = f"{100 * float(np.asarray(run['true'])[0]):.1f}"
            found[f"{name}-ratio"] = f"{float(np.asarray(run['ratio'])[0]):.2f}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """Whether exact inference keeps up, what each rule's layers do, and at what price."""
    c, first, hidden = meta.config, next(iter(result["runs"])), deepest(result)
    worst = {
        rule: max(
            (behind(result, d, rule, h) for d in result["runs"] for h in depths(result, d, rule)), key=np.mean
        )
        for rule in ("pc", "near")
    }
    best = min(worst, key=lambda rule: float(worst[rule].mean()))
    gap = float(worst[best].mean())
    half = float(stats.t.ppf(0.975, len(worst[best]) - 1) * stats.sem(worst[best]))
    own, published, bp = (
        layers(result["runs"][first][str(hidden)][rule]) for rule in (best, "published", "bp")
    )
    verdict = (
        rf"{'at most' if gap <= GOAL else 'up to'} {max(gap, 0):.1f} points (95%: $\pm {half:.1f}$) behind"
    )
    larger, smaller = (f"$1/{1 / alpha:g}$" for alpha in c["alphas"])
    parts = []
    for rule, name in {"published": "published", "unit": r"$\pi = 1$", "pc": larger, "near": smaller}.items():
        cells = [
            f"{behind(result, first, rule, h).mean():.1f}, {layers(result['runs'][first][str(h)][rule])}, "
            f"{relative_time(result, first, rule, h):.1f}"
            for h in depths(result, first, rule)
        ]
        parts.append(f"{name} {' / '.join(cells)}")
    at = " / ".join(map(str, depths(result, first, "bp")))
    counts = " / ".join(str(layers(result["runs"][first][str(h)]["bp"])) for h in depths(result, first, "bp"))
    ends = [f"{rule} {h}" for _, h, rule, run in runs(result) if at_edge(run)]
    edge = f" Best rate at an end of its grid: {', '.join(ends)}." if ends else ""
    return (
        rf"Exact inference at $\pi = L / (\alpha N)$ is {verdict} backpropagation; the layers whose own "
        rf"reset costs over {100 * MATTERS:g} points are {own} of {hidden + 1} (backpropagation {bp}, "
        rf"published inference {published}). ReLU residual networks, $N = {c['width']}$, "
        rf"{_names.dataset(first)}, {c['iterations']} iterations, rates best for one seed; $\alpha$ = "
        rf"{larger}, {smaller}. Points behind BP, such layers, time over BP's at $H$ = {at}: "
        rf"{'; '.join(parts)}; BP {counts} layers.{edge} ({meta.setting}; {_names.seeds(c)}.)"
    )
