r"""How well each rule trains a network, by depth, and what each of its layers has learned.

Theory: exact inference at a hidden precision :math:`\pi = L / (\alpha N)` gives every layer nearly the
gradient of backpropagation, at every depth; the published inference reaches the layers next to the output.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
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
SIZE = (5.5, 4.2)
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


def half_width(samples: np.ndarray) -> float:
    """Half of the 95% interval of the mean, by Student's t."""
    return float(stats.t.ppf(0.975, len(samples) - 1) * stats.sem(samples))


def gaps(result: Result, rule: str) -> dict[tuple[str, int], np.ndarray]:
    """Points behind backpropagation, (seeds,), by data set and depth."""
    return {(d, h): behind(result, d, rule, h) for d in result["runs"] for h in depths(result, d, rule)}


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
    """Depth of the panel of resets: the deepest network that the published rule trained."""
    return depths(result, next(iter(result["runs"])), "published")[-1]


def draw(fig: Figure, result: Result) -> None:
    """Accuracy by data set and distance from backpropagation, passes, time and the cost of resets."""
    axes = fig.subplots(2, 3)
    first = next(iter(result["runs"]))
    by_data = dict(zip(result["runs"], axes[0, :2], strict=False))
    passes, times, resets = axes[1]
    for ax in (*axes[0], passes, times):
        plotting.log2_axis(ax, "x")
        ax.set_xlabel("hidden layers $H$")
    for ax in (passes, times):
        plotting.log2_axis(ax, "y")
    for rule, (label, colour, marker) in RULES.items():
        look: dict[str, Any] = {"marker": marker, "ms": 3.5, "lw": 0.9}
        for dataset, ax in by_data.items():
            at = depths(result, dataset, rule)
            accuracy = 100 * np.array([result["runs"][dataset][str(h)][rule]["accuracy"] for h in at]).T
            plotting.spread(ax, at, accuracy, colour, label, **look)
            ax.set_title(_names.dataset(dataset))
        at = depths(result, first, rule)
        passes.plot(
            at, [np.mean(result["runs"][first][str(h)][rule]["passes"]) for h in at], color=colour, **look
        )
        times.plot(at, [relative_time(result, first, rule, h) for h in at], color=colour, **look)
        if (hidden := deepest(result)) in at:
            lost = 100 * np.asarray(result["runs"][first][str(hidden)][rule]["lost"])
            plotting.spread(
                resets, np.arange(1, lost.shape[1] + 1), lost, colour, marker=marker, ms=2, lw=0.8
            )
    _gaps(axes[0, 2], result)
    by_data[first].set_ylabel("test accuracy (%)")
    passes.set_ylabel("passes an iteration")
    times.set_ylabel("time / time of BP")
    resets.axhline(100 * MATTERS, color=plotting.COLOURS["quiet"], lw=0.6, ls=":")
    resets.set(xlabel="layer $l$", ylabel="points lost by its reset", title=f"$H = {deepest(result)}$")
    resets.set_yscale("symlog", linthresh=1)
    resets.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for ax in axes[0, len(by_data) : 2]:
        ax.remove()
    plotting.letter(fig.axes)
    plotting.legend_outside(fig, axes[0, 0], "bottom", ncols=3)


def _gaps(ax: Axes, result: Result) -> None:
    """Points behind backpropagation of exact inference at the smaller alpha, with 95% intervals."""
    colour, marker = RULES["near"][1:]
    for dataset, shift, filled in zip(result["runs"], (0.94, 1.06), (colour, "white"), strict=False):
        at = depths(result, dataset, "near")
        found = [behind(result, dataset, "near", h) for h in at]
        ax.errorbar(
            shift * np.array(at),
            [f.mean() for f in found],
            yerr=[half_width(f) for f in found],
            fmt=marker,
            color=colour,
            markerfacecolor=filled,
            ms=3.5,
            lw=0.8,
            label=_names.dataset(dataset),
        )
    ax.axhline(0, color=plotting.COLOURS["bp"], lw=0.8)
    ax.axhline(GOAL, color=plotting.COLOURS["quiet"], lw=0.6, ls=":")
    ax.set_ylabel("points behind BP")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, columnspacing=1, handletextpad=0.2)


def numbers(result: Result) -> dict[str, str | float]:
    """By data set, rule and depth: best rate, accuracy and its deviation over seeds, points behind
    backpropagation with the half width of their 95% interval, layers that matter, passes, time over
    backpropagation's; the largest estimated and the true error of the last weight gradient in per cent, and
    loss over energy. Of exact inference at the smaller alpha the extremes over the networks, and how many are
    within `GOAL`; and how many best rates are at an end of their grid.
    """
    found: dict[str, str | float] = {}
    for dataset, hidden, rule, run in runs(result):
        name = f"{dataset}-{rule}-{hidden}"
        accuracy = 100 * np.asarray(run["accuracy"])
        gap = behind(result, dataset, rule, hidden)
        found[f"{name}-rate"] = f"{float(run['rate']):g}"
        found[name] = f"{accuracy.mean():.1f}"
        found[f"{name}-deviation"] = f"{accuracy.std(ddof=1) if len(accuracy) > 1 else 0.0:.1f}"
        found[f"{name}-behind"] = f"{gap.mean():.2f}"
        found[f"{name}-interval"] = f"{half_width(gap):.2f}"
        found[f"{name}-layers"] = layers(run)
        found[f"{name}-passes"] = f"{float(np.mean(run['passes'])):.1f}"
        found[f"{name}-time"] = f"{relative_time(result, dataset, rule, hidden):.1f}"
        if rule in ("pc", "near"):
            found[f"{name}-worst"] = f"{100 * float(np.max(run['worst'])):.1f}"
            found[f"{name}-true"] = f"{100 * float(np.asarray(run['true'])[0]):.1f}"
            found[f"{name}-ratio"] = f"{float(np.asarray(run['ratio'])[0]):.2f}"
    means = [float(gap.mean()) for gap in gaps(result, "near").values()]
    near = [(dataset, hidden, run) for dataset, hidden, rule, run in runs(result) if rule == "near"]
    passes = [float(np.mean(run["passes"])) for *_, run in near]
    times = [relative_time(result, dataset, "near", hidden) for dataset, hidden, _ in near]
    ends = [at_edge(run) for *_, run in runs(result)]
    return found | {
        "goal": GOAL,
        "near-within": sum(gap <= GOAL for gap in means),
        "near-networks": len(means),
        "near-worst-behind": f"{max(means):.2f}",
        "near-mean-behind": f"{np.mean(means):.2f}",
        "near-least-passes": f"{min(passes):.1f}",
        "near-most-passes": f"{max(passes):.1f}",
        "near-least-time": f"{min(times):.1f}",
        "near-most-time": f"{max(times):.1f}",
        "near-most-estimated": f"{100 * max(float(np.max(run['worst'])) for *_, run in near):.1f}",
        "near-most-true": f"{100 * max(float(np.asarray(run['true'])[0]) for *_, run in near):.1f}",
        "edges": sum(ends),
        "cases": len(ends),
    }


def caption(result: Result, meta: Meta) -> str:
    """Whether exact inference keeps up, what each rule's layers do, and at what price."""
    c, first, hidden = meta.config, next(iter(result["runs"])), deepest(result)
    found = gaps(result, "near")
    (dataset, depth), worst = max(found.items(), key=lambda item: float(item[1].mean()))
    within = sum(float(gap.mean()) <= GOAL for gap in found.values())
    larger, smaller = (f"$1/{1 / alpha:g}$" for alpha in c["alphas"])
    names = {"published": "published", "unit": r"$\pi = 1$", "pc": rf"$\alpha$ = {larger}", "near": smaller}
    parts = []
    for data in result["runs"]:
        for rule in names if data == first else ("near",):
            at = depths(result, data, rule)
            cells = [f"{behind(result, data, rule, h).mean():.1f}" for h in at]
            parts.append(f"{names[rule]} {' / '.join(cells)}")
    counts = [layers(result["runs"][first][str(hidden)][rule]) for rule in ("near", "bp", "published")]
    ends = [at_edge(run) for *_, run in runs(result)]
    edge = f" {sum(ends)} of {len(ends)} best rates are at an end of their grid." if any(ends) else ""
    return (
        rf"Exact inference at $\pi = L / (\alpha N)$, $\alpha$ = {smaller}, is within {GOAL:g} points of "
        rf"backpropagation in {within} of {len(found)} networks, and at most "
        rf"{max(float(worst.mean()), 0):.2f} points behind ({_names.dataset(dataset)}, $H = {depth}$, "
        rf"95%: $\pm {half_width(worst):.2f}$). ReLU residual networks, $N = {c['width']}$, "
        rf"{c['iterations']} iterations, rates best for one seed. "
        rf"(c) With 95% intervals; dotted: {GOAL:g}. (d-f) {_names.dataset(first)}. (f) Layers whose own "
        rf"reset costs over {100 * MATTERS:g} points: {counts[0]} of {hidden + 1}, BP {counts[1]}, published "
        rf"{counts[2]}. Points behind BP at $H$ = {' / '.join(map(str, depths(result, first, 'bp')))}: "
        rf"{'; '.join(parts)}.{edge} ({meta.setting}; {_names.seeds(c)}.)"
    )
