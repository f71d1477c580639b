r"""Smallest training loss against weight and activity learning rates, over widths and depths.

Published: under muPC the best pair stays where it is as networks grow (tanh: activity rate about 10, weight
rate .05 to .1); for standard PC it does not.
"""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import lr_transfer
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from figures._panels import few_decades
from pctheory import plotting

EXPERIMENT = lr_transfer
TITLE = r"As networks grow, the best weight rate stays under $\mu$PC"
SOURCE = "MU 1 left, 5"
SIZE = (5.5, 4.1)
LABELS = {"mupc": r"$\mu$PC", "sp": "PC, sp", "bp": r"BP, Depth-$\mu$P"}


def _losses(result: Result, method: str, network: str) -> np.ndarray:
    """Mean over the seeds, (weight rates, activity rates); infinite where a seed diverged."""
    return np.asarray(np.mean(result["loss"][method][network], axis=0))


def _best(result: Result, method: str, network: str) -> tuple[int, int]:
    losses = _losses(result, method, network)
    row, column = np.unravel_index(int(np.argmin(losses)), losses.shape)
    return int(row), int(column)


def _rates(result: Result, method: str, network: str) -> tuple[float, float]:
    """The best weight rate and the best activity rate."""
    row, column = _best(result, method, network)
    return float(result["learning_rates"][method][row]), float(result["activity_lrs"][column])


def _sweep(result: Result, name: str) -> list[str]:
    return [f"{n}-{h}" for n, h in result["sweeps"][name]]


def draw(fig: Figure, result: Result) -> None:
    """Columns: muPC, standard PC, BP. Top: smallest loss against the weight rate. Bottom: against the
    activity rate, and what the rates of the smallest network cost the largest one.
    """
    axes = fig.subplots(2, 3)
    for column, method in enumerate(LABELS):
        _cuts(axes[0, column], result, method, "weight")
        axes[0, column].set_title(LABELS[method])
        if method != "bp":
            _cuts(axes[1, column], result, method, "activity")
    for row in ((*axes[0],), (*axes[1, :2],)):
        low = min(ax.get_ylim()[0] for ax in row)
        high = max(ax.get_ylim()[1] for ax in row)
        for ax in row:
            ax.set_ylim(low, high)
            few_decades(ax.yaxis)
    for ax in axes[:, 0]:
        ax.set_ylabel("smallest loss")
    _costs(axes[1, 2], result)
    plotting.letter(axes)
    plotting.legend_outside(fig, axes[0, 0], "bottom", ncols=3)


def _cuts(ax: Axes, result: Result, method: str, rate: str) -> None:
    """Smallest loss against one rate, at the best of the other; a star where it is lowest."""
    widths, depths = _sweep(result, "width"), _sweep(result, "depth")
    others = [k for k in depths if k not in widths]
    lines = [(widths, plotting.shades(len(widths)), "-")]
    lines.append((others, plotting.shades(len(depths))[-len(others) :], "--"))
    x = result["learning_rates"][method] if rate == "weight" else result["activity_lrs"]
    ax.set(xscale="log", yscale="log", xlabel=f"{rate} learning rate")
    if max(x) <= 10 * min(x):
        few_decades(ax.xaxis)
    for names, colours, style in lines:
        for network, colour in zip(names, colours, strict=True):
            losses = _losses(result, method, network)
            y = losses.min(axis=1 if rate == "weight" else 0)
            label = "$N = {}$, $H = {}$".format(*network.split("-"))
            y = np.where(np.isfinite(y), y, np.nan)
            ax.plot(x, y, style, color=colour, marker=".", ms=3, lw=0.9, label=label)
            best = int(np.nanargmin(y))
            ax.plot(x[best], y[best], "*", color=colour, markeredgecolor="white", ms=8, zorder=4)


def _costs(ax: Axes, result: Result) -> None:
    """Loss of the largest network at the rates of the smallest one, over its lowest loss."""
    factors = []
    for place, method in enumerate(LABELS):
        for sweep, marker, aside in (("width", "o", -0.12), ("depth", "D", 0.12)):
            excess = _excess(result, method, sweep)
            factors.append(excess if np.isfinite(excess) else np.nan)
            ax.plot(place + aside, factors[-1], marker, ms=5,
                    color=plotting.COLOURS["bp" if method == "bp" else "pc"],
                    markerfacecolor="white" if sweep == "depth" else None)  # fmt: skip
    ax.axhline(1, color=plotting.COLOURS["quiet"], lw=0.6)
    ax.set_xticks(range(len(LABELS)), [r"$\mu$PC", "sp", "BP"])
    ax.set(ylabel="factor in the loss", xlabel="full: widths, hollow: depths")
    ax.set(xlim=(-0.5, 2.5), title="cost of the smallest's rates")
    if np.nanmax(factors) > 3:
        ax.set_yscale("log")
        few_decades(ax.yaxis)


def _listed(values: Iterable[float]) -> str:
    """In the order of the networks; once if they are all the same."""
    shown = [f"{value:g}" for value in values]
    return shown[0] if len(set(shown)) == 1 else ", ".join(shown)


def _excess(result: Result, method: str, sweep: str) -> float:
    """Loss of the largest network at the rates that are best for the smallest one, over its loss at its own
    best rates.
    """
    names = _sweep(result, sweep)
    losses = _losses(result, method, names[-1])
    return float(losses[_best(result, method, names[0])] / losses.min())


def _factor(excess: float) -> str:
    return f"{excess:.2f}" if np.isfinite(excess) else "infinitely many"


def numbers(result: Result) -> dict[str, str | float]:
    """Where the optima are, and what the rates of the smallest network cost the largest."""
    found: dict[str, str | float] = {}
    for method in LABELS:
        for sweep in ("width", "depth"):
            best = [_rates(result, method, network) for network in _sweep(result, sweep)]
            found[f"{method}-{sweep}-weight"] = _listed(w for w, _ in best)
            if method != "bp":
                found[f"{method}-{sweep}-activity"] = _listed(a for _, a in best)
            found[f"{method}-{sweep}-excess"] = _factor(_excess(result, method, sweep))
    return found


def caption(result: Result, meta: Meta) -> str:
    """Where the optima are, how far they move, and what was published."""
    n, c = numbers(result), meta.config
    diverged = sum(
        int(np.sum(~np.isfinite(_losses(result, m, k)))) for m in LABELS for k in result["loss"][m]
    )
    lost = f"; {diverged} pairs diverged" if diverged else ""
    moves = {m: any("," in str(n[f"{m}-{sweep}-weight"]) for sweep in ("width", "depth")) for m in LABELS}
    stay = {m: "moves" if moves[m] else "stays" for m in moves}
    agrees = "as published" if moves["sp"] and not moves["mupc"] else "not as published"
    excess = "; ".join(rf"{LABELS[m]} {n[f'{m}-width-excess']} and {n[f'{m}-depth-excess']}" for m in LABELS)
    return (
        rf"As networks grow the best weight rate of $\mu$PC {stay['mupc']} and that of sp {stay['sp']}, "
        rf"{agrees}. Residual {c['activation']} networks on {_names.dataset(result['dataset'])}, $T = H$, "
        rf"Adam. (a-e) Smallest loss of a training batch in {c['iterations']} iterations against one rate, "
        "at the best of the other (star: the lowest"
        rf"{lost}). Best rates of $\mu$PC, weight and activity: widths {n['mupc-width-weight']} and "
        rf"{n['mupc-width-activity']}; depths {n['mupc-depth-weight']} and {n['mupc-depth-activity']} "
        "(published: 0.05 to 0.1 and about 10). (f) With the rates of the smallest network the largest "
        rf"reaches this many times its lowest loss, over widths and depths: {excess}. "
        rf"({meta.setting}; {_names.seeds(c)}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Whether the best rates move, over the published widths."""
    n = numbers(result)
    moves = {m: [s for s in ("width", "depth") if "," in str(n[f"{m}-{s}-weight"])] for m in ("mupc", "sp")}
    activity = {
        int(width): _rates(result, "mupc", f"{width}-{hidden}")[1]
        for width, hidden in result["sweeps"]["width"]
        if width in lr_transfer.Config().widths
    }
    return [
        outcome(
            r"the best weight rate of $\mu$PC does not move with width or depth",
            f"{n['mupc-width-weight']} over widths, {n['mupc-depth-weight']} over depths",
            *(sweep not in moves["mupc"] for sweep in ("width", "depth")),
        ),
        outcome(
            "that of the standard parameterisation moves",
            f"{n['sp-width-weight']} over widths, {n['sp-depth-weight']} over depths",
            *(sweep in moves["sp"] for sweep in ("width", "depth")),
        ),
        outcome(
            r"the best activity rate of $\mu$PC is about 10 at all widths from 64 on",
            ", ".join(f"{rate:g} at $N = {width}$" for width, rate in activity.items()),
            all(3 <= rate <= 30 for rate in activity.values()),
            tested=len(activity) > 1,
        ),
    ]
