r"""Where predictive coding learns sooner than backpropagation, over depth and initial scale.

Theory: a chain's gradient flow is faster on the energy than on the loss below a border in the initial scale,
which is wider where the precision keeps the ratio of loss and energy at 2.
"""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from experiments import when_pc_wins
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = when_pc_wins
TITLE = "Where predictive coding learns sooner"
SOURCE = "here"
SIZE = (5.5, 3.6)
COLOURS = plotting.DIVERGING.reversed()
LIMIT = 3.0
"""Of the colours, a factor of 2 ** 3."""


def cost(result: Result, kind: str, *names: object) -> float:
    """Median over the seeds of the "iterations" or "seconds" to the target of a run, named "plain" or
    "skips", activation, optimiser, rule, H and c; infinite where most did not reach it.
    """
    return float(np.median(result["runs"]["/".join(map(str, names))][kind]))


def lead(result: Result, kind: str, *names: object, rule: str = "pc") -> float:
    """The cost of backpropagation over that of a rule: infinite or 0 where only one reached the target, not a
    number where none did.
    """
    skips, activation, optimiser, hidden, scale = names
    bp, own = (cost(result, kind, skips, activation, optimiser, r, hidden, scale) for r in ("bp", rule))
    return bp / own if np.isfinite(own) else (0.0 if np.isfinite(bp) else np.nan)


def cells(result: Result, rule: str = "pc") -> Iterator[tuple[str, str, str, int, float]]:
    """Networks that a rule trained: "plain" or "skips", activation, optimiser, H and c."""
    for kind, activations in result["runs"].items():
        for activation, optimisers in activations.items():
            for optimiser, rules in optimisers.items():
                for hidden, scales in rules[rule].items() if rule in rules else ():
                    for scale in scales:
                        yield kind, activation, optimiser, int(hidden), float(scale)


def panels(result: Result) -> list[tuple[str, str]]:
    """Activations and optimisers of the networks without skips, Adam first."""
    found = dict.fromkeys((c[1], c[2]) for c in cells(result) if c[0] == "plain")
    return sorted(found, key=lambda pair: pair[1])


def table(result: Result, kind: str, activation: str, optimiser: str) -> np.ndarray:
    """Leads of exact inference at unit precisions without skips, (depths, scales); nan where left out."""
    found = np.full((len(result["depths"]), len(result["scales"])), np.nan)
    for *network, hidden, scale in cells(result):
        if network == ["plain", activation, optimiser]:
            at = list(result["depths"]).index(hidden), list(result["scales"]).index(scale)
            found[at] = lead(result, kind, *network, hidden, scale)
    return found


def draw(fig: Figure, result: Result) -> None:
    """A map for each activation and optimiser: colours by iterations, numbers by time."""
    pairs = panels(result)
    axes = fig.subplots(2, (len(pairs) + 1) // 2, sharex=True, sharey=True, squeeze=False)
    for (activation, optimiser), ax in zip(pairs, axes.flat, strict=False):
        _map(ax, result, activation, optimiser)
        ax.set_title(f"{_names.activation(activation)}, {optimiser}")
    for ax in axes.flat[len(pairs) :]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("hidden layers $H$")
        ax.set_yticks(range(len(result["depths"])), [f"{h}" for h in result["depths"]])
    for ax in axes[-1]:
        ax.set_xlabel("initial scale $c$")
        ax.set_xticks(range(len(result["scales"])), [f"{c:g}" for c in result["scales"]])
    bar = fig.colorbar(axes[0, 0].images[0], ax=axes, shrink=0.8)
    bar.set_label("iterations of BP / of PC")
    ends = np.arange(-int(LIMIT), int(LIMIT) + 1)
    bar.set_ticks(ends.tolist(), labels=[f"{2.0**k:.3g}" for k in ends])
    plotting.letter(axes)
    plotting.legend_outside(fig, axes[0, 0], "bottom", ncols=2)


def _map(ax: Axes, result: Result, activation: str, optimiser: str) -> None:
    with np.errstate(divide="ignore"):
        colours = np.clip(np.log2(table(result, "iterations", activation, optimiser)), -LIMIT, LIMIT)
    ax.imshow(colours, cmap=COLOURS, norm=Normalize(-LIMIT, LIMIT), aspect="auto", origin="lower")
    seconds = table(result, "seconds", activation, optimiser)
    for *network, hidden, scale in cells(result):
        if network == ["plain", activation, optimiser]:
            at = list(result["depths"]).index(hidden), list(result["scales"]).index(scale)
            colour = "white" if abs(colours[at]) > 0.6 * LIMIT else plotting.COLOURS["ink"]
            ax.text(
                at[1], at[0] - 0.28, _short(seconds[at]), ha="center", va="center", fontsize=7, color=colour
            )
    logs = np.log(np.asarray(result["scales"]))
    rows = np.arange(len(result["depths"]))
    for name, style, label in (("border", "-", r"border of chains, $\pi = 1$"), ("kept", ":", "ratio kept")):
        at = np.interp(np.log(np.asarray(result[name])), logs, np.arange(len(logs)))
        plotting.theory(ax, at, rows, label=label, linestyle=style, marker="|", markersize=7)


def _short(value: float) -> str:
    """A lead in a cell: only predictive coding, only backpropagation, or neither reached the target."""
    if np.isnan(value):
        return "–"
    if value == 0 or np.isinf(value):
        return "BP" if value == 0 else "PC"
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def numbers(result: Result) -> dict[str, str | float]:
    """For each optimiser, and with skips: networks, how many predictive coding learns sooner by iterations
    and by time, how many one rule alone or none learns, the largest leads, and leads by a chain's border. The
    costs of all rules in `compared`, and how much longer predictive coding takes at the best scale of each
    rule.
    """
    found: dict[str, str | float] = {}
    for name, kept in (("adam", ("plain", "Adam")), ("sgd", ("plain", "SGD")), ("skips", ("skips", "Adam"))):
        own = [c for c in cells(result) if (c[0], c[2]) == kept]
        leads, times = (np.array([lead(result, kind, *c) for c in own]) for kind in ("iterations", "seconds"))
        found[f"{name}-networks"] = len(own)
        found[f"{name}-learned"] = int(np.sum(~np.isnan(leads)))
        found[f"{name}-sooner"] = int(np.sum(leads > 1))
        found[f"{name}-later"] = int(np.sum(leads < 1))
        found[f"{name}-faster"] = int(np.sum(times > 1))
        found[f"{name}-alone"] = int(np.sum(np.isinf(leads)))
        found[f"{name}-bp-alone"] = int(np.sum(leads == 0))
        found[f"{name}-most"] = _short(float(np.max(leads[np.isfinite(leads)], initial=0)))
        found[f"{name}-most-time"] = _short(float(np.max(times[np.isfinite(times)], initial=0)))
    for name, leads in zip(("below", "above"), by_border(result), strict=True):
        both = leads[np.isfinite(leads) & (leads > 0)]
        found[f"{name}-networks"] = len(leads)
        found[f"{name}-sooner"] = int(np.sum(leads > 1))
        found[f"{name}-median"] = _short(float(np.median(both))) if len(both) else "none"
    found["compared-depth"] = compared(result)[0][3]
    for kind, *rest in compared(result):
        for rule in when_pc_wins.RULES:
            for what, form in (("iterations", ".0f"), ("seconds", ".2f")):
                value = cost(result, what, kind, *rest[:2], rule, *rest[2:])
                found[f"{rule}-{rest[-1]:g}-{what}"] = f"{value:{form}}" if np.isfinite(value) else "none"
    for what in ("iterations", "seconds"):
        ratios = best_scale(result, what)
        found[f"best-scale-{what}-least"] = f"{ratios.min():.1f}"
        found[f"best-scale-{what}-most"] = f"{ratios.max():.1f}"
    return found


def best_scale(result: Result, kind: str) -> np.ndarray:
    """The cost of predictive coding over that of backpropagation, each from its best initial scale: one for
    each panel and depth where both learn.
    """
    found = []
    for activation, optimiser in panels(result):
        for hidden in result["depths"]:
            own = [c for c in cells(result) if c[:4] == ("plain", activation, optimiser, hidden)]
            bp, pc = (min(cost(result, kind, *c[:3], rule, *c[3:]) for c in own) for rule in ("bp", "pc"))
            if np.isfinite(bp) and np.isfinite(pc):
                found.append(pc / bp)
    return np.array(found)


def compared(result: Result) -> list[tuple[str, str, str, int, float]]:
    """The networks that all rules trained, at the largest such depth."""
    found = list(cells(result, "pc-bp"))
    return [c for c in found if c[3] == max(h for *_, h, _ in found)]


def by_border(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """Leads in iterations without skips, below a chain's border at unit precision and above it."""
    found: tuple[list[float], list[float]] = ([], [])
    for cell in cells(result):
        if cell[0] == "plain":
            border = float(result["border"][list(result["depths"]).index(cell[3])])
            found[int(cell[4] > border)].append(lead(result, "iterations", *cell))
    return np.array(found[0]), np.array(found[1])


def caption(result: Result, meta: Meta) -> str:
    """What was run, where each rule is sooner, and what a chain says of it."""
    c, n = meta.config, numbers(result)
    rows = [
        f"{label} "
        + ", ".join(
            f"{n[f'{rule}-{cell[-1]:g}-iterations']} ({n[f'{rule}-{cell[-1]:g}-seconds']})"
            for cell in compared(result)
            if cell[-1] > min(result["scales"])
        )
        for rule, label in (
            ("bp", "BP"),
            ("pc", "PC"),
            ("raised", rf"$\pi = {c['precision']:g}$"),
            ("pc-bp", "PC, then BP"),
        )
    ]
    scales = " / ".join(f"{cell[-1]:g}" for cell in compared(result) if cell[-1] > min(result["scales"]))
    return (
        rf"Predictive coding needs fewer iterations where the forward signal starts small, but seldom less "
        rf"time. Iterations to {100 * c['target']:g}% of the "
        rf"{_names.dataset(c['dataset'])} test images, at most {c['iterations']} and {c['passes']} passes, "
        rf"each rule at its best rate; no skips, $N = {c['width']}$, weights $c$ times Xavier's. "
        rf"Colour: iterations of BP over those of exact PC, $\pi = 1$; number: the same of time; PC, "
        rf"BP: only that one got there. Lines: where chains take equally long. Adam: PC "
        rf"sooner in {n['adam-sooner']} of {n['adam-learned']} networks, by time in {n['adam-faster']}. "
        rf"Tanh, Adam, $H = {n['compared-depth']}$, $c = {scales}$: iterations (seconds) {'; '.join(rows)}. "
        rf"({meta.setting}; {_names.seeds(c)}.)"
    )
