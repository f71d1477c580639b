r"""Size of the forward pass against depth, at initialisation and after one and two steps of training.

What to see: Depth-muP with skips keeps a size of order one at every depth and stays there under training; the
standard parameterisation explodes with skips and dies without.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import forward_pass
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = forward_pass
TITLE = "Stability of the forward pass"
SOURCE = "MU A.29"
SIZE = (5.5, 3.9)
_LOOK = {
    "mupc + skips": (plotting.COLOURS["mupc"], "-"),
    "sp + skips": (plotting.COLOURS["sp"], "--"),
    "sp": (plotting.COLOURS["sp"], "-"),
    "orthogonal": (plotting.COLOURS["orthogonal"], "-"),
}
"""Colour and line of each parameterisation."""
_LIMITS = (1e-10, 1e10)
"""What lies beyond has exploded or died."""


def draw(fig: Figure, result: Result) -> None:
    """The last hidden layer by parameterisation: linear, tanh, ReLU at initialisation; linear after the
    steps.
    """
    axes = fig.subplots(2, 2, sharex=True, sharey=True).ravel()
    depths = result["depths"]
    for case, (colour, style) in _LOOK.items():
        if case not in result:
            continue
        name = _names.parameterisation(case)
        for ax, phi in zip(axes, forward_pass.ACTIVATIONS, strict=False):
            ax.plot(
                depths, result[case][phi]["adam"][:, 0, -1], "o", ls=style, color=colour, zorder=5, label=name
            )
        plotting.theory(axes[0], depths, result[case]["law"], label=None)
        for optimiser, face in (("adam", colour), ("sgd", "white")):
            last = np.asarray(result[case]["linear"][optimiser])[:, -1, -1]
            last = np.where(np.isfinite(last), last, np.nan)
            axes[3].plot(depths, last, "o", ls=style, color=colour, mfc=face)
    titles = ("linear", "tanh", "ReLU", "linear, trained a little")
    for ax, title in zip(axes, titles, strict=True):
        ax.set(title=title, xscale="log", yscale="log", ylim=_LIMITS)
        plotting.log2_axis(ax, "x")
    plotting.note(axes[0], "black: exact mean", "lower right", fontsize=7)
    plotting.note(axes[3], "filled: Adam; open: SGD", "lower right", fontsize=7)
    for ax in axes[2:]:
        ax.set_xlabel("depth $L$")
    for ax in axes[::2]:
        ax.set_ylabel("root mean square")
    plotting.letter(axes)
    plotting.legend_outside(fig, axes[1], "bottom", ncols=4, handlelength=2.6)


def numbers(result: Result) -> dict[str, str | float]:
    """The last hidden layer of the deepest residual mupc network."""
    values = result["mupc + skips"]["linear"]["adam"][-1, :, -1]
    return {"mupc": round(float(values[0]), 3), "mupc-trained": round(float(values[-1]), 3)}


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees, what does not."""
    n = numbers(result)
    return (
        r"With $\mu$PC and skips the forward pass keeps its size at every depth; with sp it explodes or "
        rf"dies. Root mean square of the last hidden layer against depth, width {meta.config['width']}, "
        "Gaussian inputs. (a-c) At initialisation (black: the exact mean for linear networks). (d) Linear "
        rf"networks after {meta.config['steps']} steps of SGD (base rate {meta.config['sgd_rate']:g}) or "
        rf"Adam ({meta.config['adam_rate']:g}), with the learning rates of the parameterisation. "
        r"$\mu$PC with skips tends to $\sqrt{e} \approx 1.649$; measured at the greatest depth: "
        rf"{n['mupc']}, and {n['mupc-trained']} after {meta.config['steps']} steps of Adam. sp explodes with "
        "skips and dies without. Orthogonal weights keep 1 in linear networks but not with tanh or ReLU. As "
        rf"published. Missing points overflowed. ({meta.setting}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Sizes at the greatest depth."""
    n = numbers(result)
    sp = float(result["sp + skips"]["linear"]["adam"][-1, 0, -1])
    return [
        outcome(
            r"under $\mu$PC the activities keep their size at every depth, also after updates",
            f"{n['mupc']} at the greatest depth, {n['mupc-trained']} after {meta.config['steps']} steps "
            "of Adam",
            0.5 < float(n["mupc"]) < 2,
            0.5 < float(n["mupc-trained"]) < 2,
        ),
        outcome(
            "in the standard parameterisation with skips they explode",
            "overflow" if not np.isfinite(sp) else f"{sp:.1e}",
            not sp < 1e3,
        ),
    ]
