r"""How the modes of a task, the rescaling, the loss and the energy change along training.

Theory: backpropagation learns the modes one after the other, each after a plateau, because the origin and its
successors are saddles of the loss. The energy has a slope there: all modes set out at once; the rescaling S
grows first, the energy falls, and the loss follows.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import learning_movie
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = learning_movie
TITLE = "Backpropagation learns mode after mode, predictive coding many at once"
SOURCE = "new"
SIZE = (5.5, 3.7)
FILM = (5.5, 2.0)
STILLS = (0.1, 0.2, 0.4)
"""When the three frames of the still figure are taken, as shares of the time."""
_RULES = {"bp": "BP", "pc": "PC"}


def draw(fig: Figure, result: Result) -> None:
    """Top: three frames. Bottom: the modes, the rescaling and the objectives in time."""
    axes = fig.subplots(2, 3)
    times = np.asarray(result["times"])
    stills = [round(share * (len(times) - 1)) for share in STILLS]
    for ax, index in zip(axes[0], stills, strict=True):
        _bars(ax, result, index)
        ax.set_title(f"$t = {times[index]:g}$")
        ax.set_ylabel("")
    axes[0, 0].set_ylabel(r"strength $u_k^T P_0 v_k$")
    _names(axes[0, 0], result)
    modes, metric, objectives = axes[1]
    _modes(modes, result)
    _rescaling(metric, result, len(times))
    _objectives(objectives, result, len(times))
    for ax in axes[1]:
        ax.set(xlabel="training time $t$", xlim=(0, times[-1]))
    plotting.letter(axes.ravel())


def frames(result: Result) -> int:
    """Every second of the recorded times."""
    return (len(result["times"]) + 1) // 2


def frame(fig: Figure, result: Result, index: int) -> None:
    """One frame of the film: the modes now; the rescaling and the objectives until now."""
    bars, metric, objectives = fig.subplots(1, 3)
    times, index = np.asarray(result["times"]), 2 * index
    _bars(bars, result, index)
    _names(bars, result)
    bars.set(ylabel=r"strength $u_k^T P_0 v_k$", title=f"$t = {times[index]:.2f}$")
    _rescaling(metric, result, index + 1)
    _objectives(objectives, result, index + 1)
    for ax in (metric, objectives):
        ax.set(xlabel="training time $t$", xlim=(0, times[-1]))


def _bars(ax: Axes, result: Result, index: int) -> None:
    strengths = np.asarray(result["strengths"])
    at = np.arange(1, len(strengths) + 1)
    for offset, rule in ((-0.2, "bp"), (0.2, "pc")):
        height = np.asarray(result["film"][rule]["modes"])[index]
        ax.bar(at + offset, height, 0.38, color=plotting.COLOURS[rule])
    for x, target in zip(at, strengths, strict=True):
        ax.plot([x - 0.45, x + 0.45], [target, target], color=plotting.COLOURS["theory"], lw=1.2)
    ax.set(xlabel="mode $k$", xticks=at, ylim=(-0.1, 1.12 * strengths[0]))


def _names(ax: Axes, result: Result) -> None:
    """The names of the bars and of the target, where there is room: above the weaker modes."""
    top = float(np.asarray(result["strengths"])[0])
    ax.text(2.6, 0.98 * top, "target", fontsize=7.5, va="center")
    ax.plot([1.9, 2.45], [0.98 * top] * 2, color=plotting.COLOURS["theory"], lw=1.2)
    for k, (rule, name) in enumerate(_RULES.items()):
        ax.text(2.6, (0.85 - 0.13 * k) * top, name, color=plotting.COLOURS[rule], fontsize=7.5, va="center")


def _modes(ax: Axes, result: Result) -> None:
    times = np.asarray(result["times"])
    for rule in _RULES:
        ax.plot(times, result["film"][rule]["modes"], color=plotting.COLOURS[rule], lw=1.1)
    for k, target in enumerate(np.asarray(result["strengths"]), start=1):
        ax.text(times[-1], target, f" {k}", fontsize=7.5, va="center")
    ax.set_ylabel(r"strength $u_k^T P_0 v_k$")


def _rescaling(ax: Axes, result: Result, until: int) -> None:
    times, count = np.asarray(result["times"]), len(result["strengths"])
    for rule, name in _RULES.items():
        values = np.asarray(result["film"][rule]["rescaling"])[:, :count]
        ax.plot(times, values, color=plotting.COLOURS[rule], lw=0.5, alpha=0.25)
        ax.plot(times[:until], values[:until], color=plotting.COLOURS[rule], lw=1.1)
        ax.text(
            0.97 * times[-1],
            1.03 * values[-1, 0],
            name,
            color=plotting.COLOURS[rule],
            fontsize=7.5,
            ha="right",
        )
    ax.set_ylabel("eigenvalues of $S$")


def _objectives(ax: Axes, result: Result, until: int) -> None:
    times = np.asarray(result["times"])
    for rule in _RULES:
        for name, style in (("loss", "-"), ("energy", ":")):
            values = np.asarray(result["film"][rule][name])
            ax.plot(times, values, style, color=plotting.COLOURS[rule], lw=0.5, alpha=0.25)
            ax.plot(times[:until], values[:until], style, color=plotting.COLOURS[rule], lw=1.2)
    first = float(np.asarray(result["film"]["bp"]["loss"])[0])
    ax.set(yscale="log", ylim=(1e-3 * first, 2 * first), ylabel=r"$\mathcal{L}$ (solid), $F^*$ (dotted)")


def numbers(result: Result) -> dict[str, str | float]:
    """Median time until each mode has half its strength, and the largest eigenvalue of S at the end."""
    found: dict[str, str | float] = {}
    for rule in _RULES:
        half = np.median(result["half"][rule], axis=0)
        for k, time in enumerate(half, start=1):
            late = f"over {result['times'][-1]:g}"
            found[f"{rule}-half-{k}"] = f"{time:.1f}" if np.isfinite(time) else late
        found[f"{rule}-rescaling"] = f"{float(result['film'][rule]['rescaling'][-1, 0]):.1f}"
        for name in ("loss", "energy"):
            values = np.asarray(result["film"][rule][name])
            at = np.asarray(result["times"])[int(np.argmax(values <= values[0] / 10))]
            found[f"{rule}-{name}-tenth"] = f"{float(at):g}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """What happens when."""
    n, c = numbers(result), meta.config
    count = len(c["strengths"])
    times = {rule: ", ".join(str(n[f"{rule}-half-{k}"]) for k in range(1, count + 1)) for rule in _RULES}
    return (
        "From small weights backpropagation learns one mode of a task after the other, each after a plateau; "
        f"predictive coding sets out earlier and on several at once. A linear network of {c['depth']} "
        f"layers, {c['width']} wide, and a teacher with {count} singular values (black); gradient flows of "
        rf"$\mathcal{{L}}$ and $F^*$ from weights of deviation {c['scale']:g}. Median time to half of modes "
        f"1 to {count} over {c['seeds']} draws: BP {times['bp']}; PC {times['pc']}. Under PC $S$ grows "
        f"first, to {n['pc-rescaling']} (BP {n['bp-rescaling']}); $F^*$ is down to a tenth at "
        f"{n['pc-energy-tenth']}, the loss at {n['pc-loss-tenth']} (BP {n['bp-loss-tenth']}). A large $S$ "
        "also slows the last part of the way of the strong modes. The gallery shows the film. "
        f"({meta.setting}.)"
    )
