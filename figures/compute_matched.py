r"""What a pass over the network buys: accuracy and loss against passes and against time.

What to see: backpropagation first in passes; predictive coding comes nearer the fewer passes its inference
needs, in error coordinates two or three, in activities as many as twice the layers and more.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import compute_matched
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._panels import few_decades
from pctheory import plotting

EXPERIMENT = compute_matched
TITLE = "What a pass over the network buys"
SOURCE = "new"
SIZE = (5.5, 4.4)
_LIGHT, _BLUE, _DARK, _DEEP = plotting.shades(4)
RULES = {
    "bp": ("BP", plotting.COLOURS["bp"], "-"),
    "gd": ("gradient descent", _LIGHT, "-"),
    "momentum": ("momentum", _BLUE, "-"),
    "adam": ("Adam", _DARK, "-"),
    "heun": ("Heun", _DEEP, "-"),
    "error": ("error descent", "#ffa90e", "--"),
    "newton": ("Newton", "#e76300", ":"),
    "adaptive": ("adaptive", "#bd1f01", "-."),
    "near": (r"adaptive, $\pi = L / (\alpha N)$", "#5c0f00", "--"),
}
"""Label, colour and line: solid: activities (blue) and backpropagation (grey); broken: errors (red)."""


def draw(fig: Figure, result: Result) -> None:
    """Rows: test accuracy and loss. Columns: against passes and against time in iterations of BP."""
    axes = fig.subplots(2, 2, sharex="col", sharey="row")
    for row, quantity in zip(axes, ("accuracy", "loss"), strict=True):
        for ax, cost in zip(row, ("passes", "seconds"), strict=True):
            _curves(ax, result, quantity, cost)
    for ax in axes[0]:
        ax.set_ylim(top=100)
    few_decades(axes[1, 0].yaxis)
    axes[0, 0].set_ylabel("test accuracy (%)")
    axes[1, 0].set_ylabel(r"test loss $\mathcal{L}$")
    axes[1, 0].set_xlabel("passes over the network")
    axes[1, 1].set_xlabel("time / time of an iteration of BP")
    plotting.letter(axes.ravel())
    plotting.legend_outside(fig, axes[0, 0], "bottom", ncols=3)


def _curves(ax: Axes, result: Result, quantity: str, cost: str) -> None:
    ax.set(xscale="log", yscale="log" if quantity == "loss" else "linear")
    unit = pass_time(result, "bp") if cost == "seconds" else 1.0
    for rule, (label, colour, style) in RULES.items():
        run = result["runs"][rule]
        values = (100 if quantity == "accuracy" else 1) * np.asarray(run[quantity])
        kept = np.isfinite(values).all(axis=0)
        spent = elapsed(result, rule) if cost == "seconds" else np.asarray(run["passes"])
        at = spent[:, kept].mean(axis=0) / unit
        ax.plot(at, values[:, kept].mean(axis=0), style, color=colour, lw=1.2, label=label)


def pass_time(result: Result, rule: str) -> float:
    """Processor seconds of a pass after the first iteration, the median over the seeds."""
    run = result["runs"][rule]
    seconds, passes = (np.asarray(run[name], dtype=float) for name in ("seconds", "passes"))
    return float(np.median(_span(seconds) / _span(passes)))


def _span(values: np.ndarray) -> np.ndarray:
    """From the first value of a seed to its last."""
    return np.nanmax(values, axis=1) - values[:, 0]


def elapsed(result: Result, rule: str) -> np.ndarray:
    """Processor seconds (seeds, points), without what comes before the first iteration."""
    run = result["runs"][rule]
    seconds, passes = (np.asarray(run[name], dtype=float) for name in ("seconds", "passes"))
    return seconds - seconds[:, :1] + pass_time(result, rule) * passes[:, :1]


def common(result: Result) -> float:
    """The passes that every run reached."""
    return float(min(np.nanmin(np.nanmax(run["passes"], axis=1)) for run in result["runs"].values()))


def at_common(result: Result, rule: str) -> np.ndarray:
    """Test accuracy (seeds,) in per cent at `common` passes, by interpolation in the logarithm of passes."""
    run, where = result["runs"][rule], np.log(common(result))
    found = []
    for passes, accuracy in zip(np.asarray(run["passes"]), np.asarray(run["accuracy"]), strict=True):
        kept = np.isfinite(accuracy)
        found.append(100 * np.interp(where, np.log(passes[kept]), accuracy[kept]))
    return np.array(found)


def numbers(result: Result) -> dict[str, str | float]:
    """The common budget; by rule the rate, the accuracy at the budget and its deviation over seeds, passes an
    iteration, and the time of an iteration over backpropagation's.
    """
    found: dict[str, str | float] = {"passes": f"{common(result):.0f}"}
    for rule in RULES:
        run, ends = result["runs"][rule], at_common(result, rule)
        found[f"{rule}-rate"] = f"{float(run['rate']):g}"
        found[rule] = f"{ends.mean():.1f}"
        found[f"{rule}-deviation"] = f"{ends.std(ddof=1) if len(ends) > 1 else 0.0:.1f}"
        found[f"{rule}-passes"] = f"{float(np.mean(np.asarray(run['passes'])[:, 0])):.2g}"
        found[f"{rule}-time"] = f"{pass_time(result, rule) / pass_time(result, 'bp'):.2g}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """Who is where at the same number of passes."""
    n, c = numbers(result), meta.config
    best = max((rule for rule in RULES if rule != "bp"), key=lambda rule: float(n[rule]))
    ahead = float(n["bp"]) - float(n[best])
    first = (
        f"For the same passes backpropagation ends {ahead:.1f} points ahead of the best predictive coding"
        if ahead > 0
        else "For the same passes predictive coding is not behind backpropagation"
    )
    rows = "; ".join(
        f"{name} {n[rule]}, {n[f'{rule}-passes']}, {n[f'{rule}-time']}"
        for rule, (name, _, _) in RULES.items()
    )
    worst = max(float(n[f"{rule}-deviation"]) for rule in RULES)
    rates = np.asarray(result["rates"], dtype=float)
    ends = [RULES[r][0] for r in RULES if float(n[f"{r}-rate"]) in (rates.min(), rates.max())]
    edge = f" Best rate at an end of its grid: {', '.join(ends)}." if ends else ""
    return (
        f"{first} ({RULES[best][0]}). ReLU residual $\\mu$PC networks, $H = {c['hidden']}$, $N = "
        f"{c['width']}$, {_names.dataset(result['dataset'])}, Adam at each rule's best rate. Blue: inference "
        "in activities; broken: in errors; the last at the recommended hidden precision, the others at 1. "
        f"Accuracy (%; deviation at most {worst:g}) at {n['passes']} passes, passes of an "
        "iteration, time of a pass (BP: 1): "
        f"{rows}.{edge} ({meta.setting}; {_names.seeds(c)}.)"
    )
