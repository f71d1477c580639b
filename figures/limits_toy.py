r"""Training on the toy problem over widths: losses, energies, s - 1, the two terms of the gradient, cosines.

What to see: under mupc predictive coding and backpropagation meet as N grows, with and without skips; under
sp they do not.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import limits_toy
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = limits_toy
TITLE = "Wide networks: predictive coding becomes backpropagation"
SOURCE = "LIM 2, A.17-19"
SIZE = (5.5, 4.6)

ROWS = ("loss and energy", r"$s - 1$", r"$1 - \cos$")
COLUMNS = ("mupc + skips", "sp")


def draw(fig: Figure, result: Result) -> None:
    """Columns: residual muPC and sp. Rows: losses and energies of the narrowest and the widest network; s -
    1; distance of the gradients from parallel.
    """
    axes = fig.subplots(len(ROWS), len(COLUMNS), sharex=True, sharey="row")
    widths, steps = [int(n) for n in result["widths"]], result["steps"]
    for column, case in zip(axes.T, COLUMNS, strict=True):
        losses, excess, turn = column
        for ax in column:
            ax.set_yscale("log")
        for k, (n, colour) in enumerate(zip(widths, plotting.shades(len(widths)), strict=True)):
            part = result[case][n]
            if k in (0, len(widths) - 1):
                plotting.spread(losses, steps, part["loss"], colour, linewidth=1.2)
                losses.plot(steps, np.nanmean(part["energy"], axis=0), ":", color=colour, linewidth=1.2)
                losses.plot(
                    steps,
                    np.nanmean(part["bp loss"], axis=0),
                    "--",
                    color=plotting.COLOURS["bp"],
                    linewidth=1,
                )
            plotting.spread(excess, steps, part["excess"], colour, f"$N = {n}$", linewidth=1.2)
            excess.plot(steps, result[case]["mean field"]["excess"] / n, "-.", color="black", linewidth=0.7)
            excess.plot(0, result[case]["law"][k], "_", color="black", markersize=7, zorder=5, clip_on=False)
            plotting.spread(turn, steps, 1 - np.asarray(part["cosine"]), colour, linewidth=1.2)
        losses.plot(steps, result[case]["mean field"]["loss"], "-.", color="black", linewidth=0.9)
        losses.set_title(_names.parameterisation(case))
        turn.set_xlabel("iteration")
    for ax, name in zip(axes[:, 0], ROWS, strict=True):
        ax.set_ylabel(name)
    first = axes[1, 0]
    first.plot([], [], ":", color="black", label="energy")
    first.plot([], [], "--", color=plotting.COLOURS["bp"], label="BP loss")
    first.plot([], [], "-.", color="black", label=r"mean field")
    first.plot([], [], "_", color="black", label=r"exact mean of $s - 1$")
    plotting.letter(axes.ravel())
    plotting.legend_outside(fig, first, "bottom", ncols=4)


def numbers(result: Result) -> dict[str, str | float]:
    """Excess and distance of the losses at the last iteration, at the ends of the widths."""
    found: dict[str, str | float] = {}
    for case in limits_toy.CASES:
        key = case.replace(" + ", "-")
        for name, n in (("narrow", int(result["widths"][0])), ("wide", int(result["widths"][-1]))):
            part = result[case][n]
            found[f"{key}-{name}-start"] = f"{np.mean(part['excess'][:, 0]):.2g}"
            found[f"{key}-{name}-end"] = f"{np.nanmean(part['excess'][:, -1]):.2g}"
            found[f"{key}-{name}-cosine"] = f"{np.nanmin(np.nanmean(part['cosine'], axis=0)):.3f}"
            gap = np.nanmean(np.abs(part["loss"] - part["bp loss"]), axis=0) / np.nanmean(
                part["bp loss"][:, 0]
            )
            found[f"{key}-{name}-gap"] = f"{np.nanmax(gap):.2g}"
            far = np.abs(np.nanmean(part["loss"], axis=0) - result[case]["mean field"]["loss"])
            if np.isfinite(far).any():
                found[f"{key}-{name}-field"] = f"{np.nanmax(far) / result[case]['mean field']['loss'][0]:.2g}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees, what does not."""
    n, widths = numbers(result), result["widths"]
    return (
        r"Under $\mu$PC predictive coding becomes backpropagation as the width grows, throughout training; "
        rf"under sp it does not, as published. {meta.config['samples']} Gaussian samples, labels $\pm 1$, "
        rf"{meta.config['hidden']} hidden layers, gradient descent, {_names.seeds(meta.config)}. (a, b) Loss "
        "of PC (solid), its energy (dotted), loss of BP (grey) at both ends of the widths; dash-dotted: the "
        "mean field. (c, d) $s - 1$ with its exact initial mean (dashes) and the mean field's first order. "
        r"(e, f) Gradients of $F^*$ and $\mathcal{L}$: one minus the cosine. With $\mu$PC and skips the "
        rf"smallest cosine is {n['mupc-skips-narrow-cosine']} at $N = {widths[0]}$ and "
        rf"{n['mupc-skips-wide-cosine']} at $N = {widths[-1]}$, where the losses of PC and BP differ by at "
        rf"most {n['mupc-skips-wide-gap']} of the first; under sp $s - 1$ grows from {n['sp-wide-start']} to "
        rf"{n['sp-wide-end']} there. ({meta.setting}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """The limit of wide networks, in both parameterisations."""
    n, wide = numbers(result), int(result["widths"][-1])
    return [
        outcome(
            r"under $\mu$PC, PC becomes BP as the width grows, throughout training",
            rf"smallest cosine {n['mupc-skips-narrow-cosine']} at $N = {int(result['widths'][0])}$, "
            rf"{n['mupc-skips-wide-cosine']} at $N = {wide}$",
            float(n["mupc-skips-wide-cosine"]) > 0.98,
            float(n["mupc-skips-narrow-cosine"]) < 0.9,
        ),
        outcome(
            "in the standard parameterisation it does not",
            rf"smallest cosine {n['sp-wide-cosine']} at $N = {wide}$; $s - 1$ grows from "
            rf"{n['sp-wide-start']} to {n['sp-wide-end']}",
            float(n["sp-wide-cosine"]) < 0.95,
            float(n["sp-wide-end"]) > float(n["sp-wide-start"]),
        ),
    ]
