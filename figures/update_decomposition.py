r"""The two terms of predictive coding's gradient, and other directions, along training from a small start.

What to see: near the saddle the residual term is nearly all of the gradient; later the preconditioned one
takes over; the residual term survives at the end where the data are noisy.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments import update_decomposition
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = update_decomposition
TITLE = "The two terms of the update"
SOURCE = "new"
SIZE = (5.5, 2.3)
_STYLE = {
    "pc": ("PC, whole", plotting.COLOURS["pc"], "-"),
    "pc-preconditioned": ("PC, preconditioned BP", plotting.COLOURS["trust-region"], "-"),
    "pc-residual": ("PC, residual term", plotting.COLOURS["loss"], "-"),
    "gd": ("BP", plotting.COLOURS["bp"], "-"),
    "gauss-newton": ("Gauss-Newton", plotting.COLOURS["gauss-newton"], "--"),
    "damped-newton": ("damped Newton", plotting.COLOURS["newton"], "--"),
    "natural-gradient": ("natural gradient", "#92dadd", "--"),
}


def draw(fig: Figure, result: Result) -> None:
    """Objectives, norms, cosines to PC's direction."""
    first, second, third = fig.subplots(1, 3)
    steps = np.asarray(result["steps"]) + 1
    first.set_yscale("log")
    for name, values, colour, style in (
        (r"$\mathcal{L}$", result["loss"], plotting.COLOURS["loss"], "-"),
        ("$F^*$", result["energy"], plotting.COLOURS["pc"], "-"),
        (r"$\lambda_{\max}(S) - 1$", np.asarray(result["rescaling"]) - 1, plotting.COLOURS["quiet"], ":"),
    ):
        plotting.spread(first, steps, values, colour, linestyle=style)
        end = float(np.exp(np.log(np.asarray(values)).mean(axis=0)[-1]))
        lift = 0.4 if name == "$F^*$" else 1.6
        first.text(steps[-1], lift * end, name, color=colour, fontsize=7.5, ha="right", va="center")
    first.set_ylim(2e-3, 60)
    second.set_yscale("log")
    lines = []
    for name, (label, color, style) in _STYLE.items():
        main = style == "-"
        options: dict[str, Any] = {"linestyle": style, "linewidth": 1.3 if main else 0.9}
        if main:
            plotting.spread(second, steps, result["norm"][name], color, **options)
        mean = np.mean(np.asarray(result["cosine"][name]), axis=0) if name != "pc" else np.ones(len(steps))
        lines += third.plot(steps, mean, color=color, label=label, **options)
    third.axhline(0, color=plotting.COLOURS["quiet"], lw=0.5, zorder=0)
    first.set(title="objectives", ylabel="value")
    second.set(title="norm of the direction", ylabel="norm")
    third.set(title="cosine to PC's direction", ylim=(-0.1, 1.05), ylabel="cosine")
    for ax in (first, second, third):
        ax.set(xscale="log", xlabel="iteration + 1")
    fig.legend(handles=lines, loc="outside lower center", ncols=4, fontsize=7)
    plotting.letter([first, second, third])


def _share(result: Result, index: int) -> float:
    """Norm of the residual term over that of both, mean over seeds."""
    norm = result["norm"]
    parts = [np.asarray(norm[name])[:, index] for name in ("pc-residual", "pc-preconditioned")]
    return float(np.mean(parts[0] / (parts[0] + parts[1])))


def caption(result: Result, meta: Meta) -> str:
    """Shares of the two terms, errors of the heuristic."""
    heuristic = np.asarray(result["heuristic"])
    cosine = np.asarray(result["cosine"]["gd"])
    c = meta.config
    return (
        "Near the saddle PC's update is mostly a term that backpropagation lacks: "
        rf"{100 * _share(result, 0):.0f}% of the sum of the norms of its two terms. Gradient descent on "
        rf"$F^*$ from weights of standard deviation {c['sigma']:g}, widths "
        rf"{'-'.join(map(str, c['widths']))}, linear teacher, noise {c['noise']:g}, {_names.seeds(c)} (mean, "
        "deviation). (b) The two terms and BP. (c) Mean cosines, also of other rules. At the end the "
        rf"residual term is still {100 * _share(result, -1):.0f}%: the noise remains and goes on to "
        rf"inflate $S$. The cosine of BP's direction to PC's is {cosine[:, 0].mean():.2f} at first, at most "
        rf"{cosine.mean(axis=0).max():.2f}, {cosine[:, -1].mean():.2f} at the end. BP's gradient in place of "
        rf"the preconditioned term (the published picture) errs by {100 * heuristic[:, 0].mean():.1g}% at "
        rf"first and by up to {heuristic.mean(axis=0).max():.2g} times PC's gradient later. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Shares and the error of the heuristic."""
    heuristic = np.asarray(result["heuristic"])
    return {
        "residual-share-start": f"{100 * _share(result, 0):.0f}",
        "residual-share-end": f"{100 * _share(result, -1):.0f}",
        "heuristic-worst": f"{heuristic.mean(axis=0).max():.2g}",
    }
