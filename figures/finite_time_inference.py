r"""The energy after T steps of inference, and two gradients on their way from backprop to predictive coding.

What to see: eig(M_T) falls from 1 (backprop) to 1 / eig(S) (predictive coding); the gradient through
inference errs by T rho^2T, the local rule by rho^T.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import finite_time_inference
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = finite_time_inference
TITLE = "From backpropagation to predictive coding in $T$ steps of inference"
SOURCE = "new"
SIZE = (5.5, 2.1)
_FLOOR = 1e-13  # relative errors below this are rounding


def draw(fig: Figure, result: Result) -> None:
    """Spectrum of M_T; errors of the gradients; cosines."""
    spectrum, errors, cosines = fig.subplots(1, 3)
    times = np.asarray(result["times"])
    eigenvalues = np.asarray(result["eigenvalues"])
    for column in eigenvalues.T:
        spectrum.plot(times, column, "o-", color=plotting.COLOURS["pc"], ms=2.5, lw=0.8)
    for value in np.atleast_1d(result["inverse_rescaling"]):
        spectrum.axhline(value, color=plotting.COLOURS["theory"], lw=0.6, ls="--", zorder=0)
    spectrum.axhline(1.0, color=plotting.COLOURS["bp"], lw=1.0)
    spectrum.set(xlabel="inference steps $T$", ylabel=r"eigenvalues of $M_T$", ylim=(0, 1.22))
    _time_axis(spectrum, times)
    plotting.note(spectrum, r"dashed: $1/\mathrm{eig}(S)$", "upper right")

    rho = result["rho"]
    for rule, color, power, label in (
        ("local", plotting.COLOURS["highlight"], 1, r"local rule at $z_T$"),
        ("unrolled", plotting.COLOURS["pc"], 2, "through inference"),
    ):
        error = np.asarray(result[f"{rule}_error"])
        shown = error > _FLOOR
        errors.plot(times[shown], error[shown], "o", color=color, ms=3, label=label, zorder=3)
        bound = np.asarray(result[f"{rule}_bound"])
        errors.plot(times, bound, color=color, lw=0.7, ls=":")
        anchor = np.flatnonzero(shown & (times > 0))[-1]
        shape = (times if power == 2 else 1) * rho ** (power * times.astype(float))
        line = shape / shape[anchor] * error[anchor]
        keep = (times >= 0.15 * times.max()) & (line > _FLOOR)
        plotting.theory(errors, times[keep], line[keep], label=None)
    errors.set(yscale="log", xlabel="inference steps $T$", ylabel="error against PC's gradient")
    errors.set_ylim(_FLOOR, 1e3)
    errors.legend(loc="upper right", fontsize=7, handlelength=0.8)

    for rule, style, color in (
        ("unrolled", "-", plotting.COLOURS["pc"]),
        ("local", "-", plotting.COLOURS["highlight"]),
    ):
        cosines.plot(times, result[f"{rule}_pc"], style, color=color, marker="o", ms=2.5)
        cosines.plot(times, result[f"{rule}_bp"], "--", color=color, marker="o", ms=2.5, mfc="white")
    cosines.plot([], [], "-", color=plotting.COLOURS["ink"], label="to PC")
    cosines.plot([], [], "--", color=plotting.COLOURS["ink"], label="to BP")
    cosines.set(xlabel="inference steps $T$", ylabel="cosine of the gradient")
    _time_axis(cosines, times)
    cosines.legend(loc="lower right", fontsize=7)
    plotting.letter([spectrum, errors, cosines])


def _time_axis(ax: Axes, times: np.ndarray) -> None:
    ax.set_xscale("symlog", linthresh=1, linscale=0.5)
    ticks = [t for t in (0, 1, 10, 100) if t <= times.max()]
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.minorticks_off()
    ax.set_xlim(-0.25, 1.2 * times.max())


def _rates(result: Result) -> dict[str, float]:
    """Fitted exponents, in units of log(rho): 1 for the local rule; 2 for unrolling, after dividing by T."""
    times = np.asarray(result["times"], dtype=float)
    found = {}
    for rule, prefactor in (("local", np.ones_like(times)), ("unrolled", np.maximum(times, 1))):
        error = np.asarray(result[f"{rule}_error"])
        late = (times > 0) & (error > 1e-11) & (error < 1e-1)
        late &= times >= 0.4 * times[late].max()
        slope = np.polyfit(times[late], np.log(error[late] / prefactor[late]), 1)[0]
        found[rule] = float(slope / np.log(result["rho"]))
    return found


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees."""
    rates = _rates(result)
    widths = "-".join(str(n) for n in meta.config["widths"])
    return (
        "The energy after $T$ steps of inference leads from the loss to $F^*$, its gradient from BP to PC. A "
        rf"linear network ({widths}) at initialisation; gradient descent on the activities at its best step, "
        rf"which leaves $\rho = {result['rho']:.3f}$ of the slowest mode per step. (a) Eigenvalues of $M_T$, "
        r"the metric of the loss after $T$ steps: 1 at $T = 0$ (grey), $1/\mathrm{eig}(S)$ in the limit "
        "(dashed). (b) Relative distance from the gradient of $F^*$, for the local rule at $z_T$ and for "
        r"backpropagation through the $T$ steps (in torch). Black: $\rho^T$ and $T\rho^{2T}$; dotted: bounds "
        rf"that hold at every $T$. Fitted exponents of $\rho$: {rates['local']:.2f} (expected 1) and "
        rf"{rates['unrolled']:.2f} (expected 2). (c) Cosines to the gradients of PC (filled) and BP (open). "
        rf"({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """Fitted exponents."""
    return {f"exponent-{rule}": float(f"{rate:.3g}") for rule, rate in _rates(result).items()}
