r"""The origin of three small networks: the loss, the equilibrated energy, and training from nearby.

What to see: with two hidden units the loss is flat at 0 and F* is not; PC leaves within tens of iterations,
backprop later by a factor of a few at the same step, and by a factor of hundreds at the published scales of
the wide network.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import origin_saddle_toy
from experiments._result import Result
from experiments._store import Meta
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = origin_saddle_toy
TITLE = "Predictive coding leaves the saddle at the origin sooner"
SOURCE = "SAD 2, 7"
SIZE = (5.5, 3.7)
_LINES = {
    "bp": ("BP", plotting.COLOURS["bp"], "-"),
    "pc": ("PC", plotting.COLOURS["pc"], "-"),
    "bp published": ("BP, published scale", plotting.COLOURS["bp"], "--"),
}
_PROBLEMS = {
    "chain H=2": ("chain, $H = 2$", r"$w_1 = w_2$ ($\times \sqrt{2}$)", "$w_3$"),
    "wide H=3": ("width 4, $H = 3$", r"along $v_\mathrm{max}$", r"along $v_\mathrm{min}$"),
}


def draw(fig: Figure, result: Result) -> None:
    """Rows: two networks. Columns: loss, equilibrated energy, training loss of every run."""
    axes = fig.subplots(2, 3)
    for row, (problem, (name, across, up)) in zip(axes, _PROBLEMS.items(), strict=True):
        landscape = result["landscapes"][problem]
        for ax, objective, title in zip(row, ("loss", "energy"), (r"$\mathcal{L}$", "$F^*$"), strict=False):
            _landscape(ax, landscape["axis"], landscape[objective]["values"], landscape[objective]["slopes"])
            ax.plot(0, 0, "o", ms=4, markerfacecolor="white", markeredgecolor=plotting.COLOURS["highlight"])
            ax.set(xlabel=across, ylabel=up, title=f"{name}: {title}")
        _training(row[2], result["curves"][problem])
        row[2].set_title(f"{name}: training")
        row[2].set_ylabel(r"training loss $\mathcal{L}$")
    plotting.legend_outside(fig, axes[1, 2], "bottom")
    plotting.letter(axes)


def _landscape(ax: Axes, axis: np.ndarray, values: np.ndarray, slopes: np.ndarray) -> None:
    if np.ptp(values) > 1e-12 * np.abs(values).max():
        plotting.contour(ax, axis, axis, values, field=(slopes[0], slopes[1]))
        return
    ax.set(xlim=(axis[0], axis[-1]), ylim=(axis[0], axis[-1]), facecolor=plotting.LANDSCAPE(0.75))
    plotting.note(ax, f"constant, {float(values.flat[0]):.3f}", "upper right")


def _training(ax: Axes, curves: Result) -> None:
    ax.set_xscale("log")
    for name, curve in curves.items():
        label, color, style = _LINES[name]
        for k, losses in enumerate(curve["loss"]):  # a logarithmic axis has no iteration 0
            ax.plot(curve["steps"][1:], losses[1:], style, color=color, lw=0.8, label=None if k else label)
    ax.set(xlabel="iteration", ylim=(0, None))


def _range(values: np.ndarray) -> str:
    """Smallest and largest half-time, and how many runs have none."""
    values = np.asarray(values, dtype=np.float64)
    reached = values[np.isfinite(values)]
    if not len(reached):
        return "none"
    text = f"{reached.min():.0f}-{reached.max():.0f}"
    missing = len(values) - len(reached)
    return text + (f" ({missing} of {len(values)} runs not within the iterations shown)" if missing else "")


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees, what does not."""
    curves, c = result["curves"], meta.config
    two, wide = curves["chain H=2"], curves["wide H=3"]
    return (
        "PC leaves the saddle at the origin sooner than BP, by a small factor at the same step and by "
        r"hundreds at the published scales. Networks on $y = -x$, $x \sim N(1, 0.1)$, batch "
        rf"{c['batch_size']}: a chain with two hidden units, and three hidden layers of width 4. Loss and "
        "energy on a plane through the origin (arrows: negative gradient), and the loss in training (torch, "
        rf"$T = {c['num_steps']}$ Euler steps of {c['step']:g}; a line for each of {c['seeds']} "
        "initialisations). Iterations to half of the loss, with the published ones in brackets: chain, PC "
        rf"{_range(two['pc']['half_time'])} (22-31), BP {_range(two['bp']['half_time'])} (69-141); wide, PC "
        rf"{_range(wide['pc']['half_time'])} (45-51), BP {_range(wide['bp']['half_time'])} (94-140), at the "
        rf"published scale {_range(wide['bp published']['half_time'])} (about $10^4$). ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """Median speed-ups of PC, in iterations to half of the loss."""
    wide = result["curves"]["wide H=3"]
    medians = {name: float(np.median(curve["half_time"])) for name, curve in wide.items()}
    return {
        "matched": float(f"{medians['bp'] / medians['pc']:.2g}"),
        "published": float(f"{medians['bp published'] / medians['pc']:.2g}"),
    }


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Iterations to half of the loss: medians against the published ranges."""
    curves = result["curves"]
    two, wide = curves["chain H=2"], curves["wide H=3"]

    def near(run: Result, low: float, high: float) -> bool:
        return bool(low / 1.5 <= np.median(run["half_time"]) <= 1.5 * high)

    def both(runs: Result) -> str:
        return f"PC {_range(runs['pc']['half_time'])}, BP {_range(runs['bp']['half_time'])}"

    return [
        outcome(
            "two hidden units: PC leaves within 22-31 iterations, BP within 69-141",
            both(two),
            near(two["pc"], 22, 31),
            near(two["bp"], 69, 141),
        ),
        outcome(
            "three hidden layers, one scale: PC 45-51, BP 94-140",
            both(wide),
            near(wide["pc"], 45, 51),
            near(wide["bp"], 94, 140),
        ),
        outcome(
            "at the published scales BP needs about $10^4$",
            _range(wide["bp published"]["half_time"]),
            near(wide["bp published"], 1e4, 1e4),
        ),
    ]
