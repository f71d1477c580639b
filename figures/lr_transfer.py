r"""Smallest training loss against weight and activity learning rates, over widths and depths.

Published: under muPC the best pair stays where it is as networks grow (tanh: activity rate about 10, weight
rate .05 to .1); for standard PC it does not.
"""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from experiments import lr_transfer
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = lr_transfer
TITLE = "Do the best learning rates stay as networks grow?"
SOURCE = "MU 1 left, 5"
SIZE = (5.5, 5.3)
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


def _tick(value: float) -> str:
    return f"{value:g}".removeprefix("0") if value < 1 else f"{value:g}"


def draw(fig: Figure, result: Result) -> None:
    """Heatmaps of muPC and standard PC, a column per network; below, cuts through the best rate of the
    other kind, and BP.
    """
    networks = list(result["loss"]["mupc"])
    top, bottom = fig.subfigures(2, 1, height_ratios=(1.45, 1))
    axes = top.subplots(2, len(networks), squeeze=False, sharex="row", sharey="row")
    heat = [_losses(result, m, k) for m in ("mupc", "sp") for k in networks]
    finite = np.concatenate([values[np.isfinite(values)] for values in heat])
    norm = LogNorm(float(finite.min()), float(finite.max()))
    image = None
    for method, row in zip(("mupc", "sp"), axes, strict=True):
        for network, ax in zip(networks, row, strict=True):
            losses = _losses(result, method, network)
            image = ax.imshow(
                np.ma.masked_invalid(losses).T,
                origin="lower",
                norm=norm,
                cmap=plotting.LANDSCAPE,
                aspect="auto",
            )
            for at in np.argwhere(~np.isfinite(losses)):
                ax.plot(*at, marker="x", color=plotting.COLOURS["quiet"], markersize=3)
            ax.plot(
                *_best(result, method, network), marker="*", color=plotting.COLOURS["highlight"], markersize=6
            )
        rates = result["learning_rates"][method]
        for ax in row:
            ax.set_xticks(range(len(rates)), [_tick(r) for r in rates], fontsize=6.5, rotation=90)
        activity = result["activity_lrs"]
        row[0].set_yticks(range(len(activity)), [_tick(r) for r in activity], fontsize=6.5)
        row[0].set_ylabel(f"{LABELS[method]}\nactivity rate")
    for network, ax in zip(networks, axes[0], strict=True):
        ax.set_title("N = {}, H = {}".format(*network.split("-")), fontsize=7)
    top.supxlabel("weight learning rate", fontsize=8.5)
    top.colorbar(image, ax=axes, label="smallest loss", shrink=0.8, pad=0.01)
    panels = bottom.subplots(1, 3, sharey=True)
    for method, ax in zip(LABELS, panels, strict=True):
        _cuts(ax, result, method)
    panels[0].set_ylabel("smallest loss")
    plotting.letter([axes[0, 0], axes[1, 0], *panels])
    plotting.legend_outside(bottom, panels[0], "right")


def _cuts(ax: Axes, result: Result, method: str) -> None:
    """Loss against the activity rate at the best weight rate; of BP against the weight rate."""
    widths, depths = _sweep(result, "width"), _sweep(result, "depth")
    lines = [(widths, plotting.shades(len(widths)), "-")]
    others = [k for k in depths if k not in widths]
    lines.append((others, plotting.shades(len(depths))[-len(others) :], "--"))
    ax.set(xscale="log", yscale="log", title=LABELS[method])
    for names, colours, style in lines:
        for network, colour in zip(names, colours, strict=True):
            losses = _losses(result, method, network)
            x = result["learning_rates"]["bp"] if method == "bp" else result["activity_lrs"]
            y = losses[:, 0] if method == "bp" else losses[_best(result, method, network)[0]]
            label = "$N = {}$, $H = {}$".format(*network.split("-"))
            ax.plot(
                x,
                np.where(np.isfinite(y), y, np.nan),
                style,
                color=colour,
                marker=".",
                ms=3,
                lw=0.9,
                label=label,
            )
    ax.set_xlabel("weight rate" if method == "bp" else "activity rate")


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
    lost = sum(int(np.sum(~np.isfinite(_losses(result, m, k)))) for m in LABELS for k in result["loss"][m])
    crosses = f"; {lost} pairs diverged (crosses)" if lost else ""
    moves = {m: any("," in str(n[f"{m}-{sweep}-weight"]) for sweep in ("width", "depth")) for m in LABELS}
    stay = {m: "moves" if moves[m] else "stays" for m in moves}
    agrees = "as published" if moves["sp"] and not moves["mupc"] else "not as published"
    excess = "; ".join(rf"{LABELS[m]} {n[f'{m}-width-excess']} and {n[f'{m}-depth-excess']}" for m in LABELS)
    return (
        rf"As networks grow the best weight rate of $\mu$PC {stay['mupc']} and that of sp {stay['sp']}, "
        rf"{agrees}; small networks differ in their best activity rate. Residual {c['activation']} networks "
        rf"on {_names.dataset(result['dataset'])}, $T = H$, Adam: smallest loss of a training batch in "
        rf"{c['iterations']} iterations for every pair of rates (star: the lowest{crosses}). Below: the cut "
        r"at the best weight rate, and BP. Best rates of $\mu$PC, weight and activity: widths "
        rf"{n['mupc-width-weight']} and {n['mupc-width-activity']}; depths {n['mupc-depth-weight']} and "
        rf"{n['mupc-depth-activity']} (published: 0.05 to 0.1 and about 10). With the rates of the smallest "
        rf"network the largest reaches this many times its lowest loss, over widths and depths: {excess}. "
        rf"({meta.setting}; {_names.seeds(c)}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Whether the best rates move, over the published widths."""
    n = numbers(result)
    moves = {m: [s for s in ("width", "depth") if "," in str(n[f"{m}-{s}-weight"])] for m in ("mupc", "sp")}
    activity = str(n["mupc-width-activity"])
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
            r"the best activity rate of $\mu$PC is about 10 at all widths",
            activity,
            all(3 <= float(rate) <= 30 for rate in activity.split(",")),
            3 <= float(activity.split(",")[-1]) <= 30,
        ),
    ]
