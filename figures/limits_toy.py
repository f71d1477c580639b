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
SIZE = (5.5, 5.2)

ROWS = ("loss and energy", r"$s - 1$", "gradient norms", "cosine")


def draw(fig: Figure, result: Result) -> None:
    """Columns: parameterisations. Rows: losses and energies, s - 1, norms of the two terms, cosine with
    backprop.
    """
    cases = list(limits_toy.CASES)
    axes = fig.subplots(len(ROWS), len(cases), sharex=True, sharey="row")
    widths, steps = [int(n) for n in result["widths"]], result["steps"]
    shades = plotting.shades(len(widths))
    for column, case in zip(axes.T, cases, strict=True):
        for ax in column[:3]:
            ax.set_yscale("log")
        for k, (n, colour) in enumerate(zip(widths, shades, strict=True)):
            part = result[case][n]
            plotting.spread(column[0], steps, part["loss"], colour, f"$N = {n}$", linewidth=1.0)
            column[0].plot(steps, np.nanmean(part["energy"], axis=0), ":", color=colour, linewidth=1.0)
            column[0].plot(
                steps, np.nanmean(part["bp loss"], axis=0), "--", color=plotting.COLOURS["bp"], linewidth=0.6
            )
            plotting.spread(column[1], steps, part["excess"], colour, linewidth=1.0)
            column[1].plot(
                steps, result[case]["mean field"]["excess"] / n, "-.", color="black", linewidth=0.7
            )
            column[1].plot(
                0, result[case]["law"][k], "_", color="black", markersize=7, zorder=5, clip_on=False
            )
            column[2].plot(steps, np.nanmean(part["rescaled"], axis=0), color=colour, linewidth=1.0)
            column[2].plot(steps, np.nanmean(part["extra"], axis=0), ":", color=colour, linewidth=1.0)
            plotting.spread(column[3], steps, part["cosine"], colour, linewidth=1.0)
        column[0].plot(steps, result[case]["mean field"]["loss"], "-.", color="black", linewidth=1.0)
        column[0].set_title(_names.parameterisation(case))
        column[-1].set_xlabel("iteration")
    for ax, name in zip(axes[:, 0], ROWS, strict=True):
        ax.set_ylabel(name)
    axes[3, 0].set_ylim(top=1.02)
    axes[0, -1].plot([], [], ":", color="black", label="energy")
    axes[0, -1].plot([], [], "--", color=plotting.COLOURS["bp"], label="BP loss")
    axes[0, -1].plot([], [], "-.", color="black", label=r"mean field, $N = \infty$")
    axes[0, -1].plot([], [], "_", color="black", label=r"exact mean of $s - 1$")
    plotting.legend_outside(fig, axes[0, ::-1], "bottom", ncols=5)


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
        r"Under $\mu$PC predictive coding becomes backprop as the width grows, throughout training; under sp "
        rf"it does not, as published. {meta.config['samples']} Gaussian samples, labels $\pm 1$, "
        rf"{meta.config['hidden']} hidden layers, gradient descent, mean and deviation over "
        rf"{_names.seeds(meta.config)}. Rows: loss of PC (solid), its energy (dotted), loss of BP (grey) and "
        "of the infinitely wide network (dash-dotted); $s - 1$ with its exact initial mean (dashes) and the "
        "mean field's first order; norms of the gradient's two terms; cosine of the gradients of $F^*$ and "
        rf"$\mathcal{{L}}$. With $\mu$PC and skips the smallest cosine is {n['mupc-skips-narrow-cosine']} at "
        rf"$N = {widths[0]}$ and {n['mupc-skips-wide-cosine']} at $N = {widths[-1]}$, where the losses of PC "
        rf"and BP differ by at most {n['mupc-skips-wide-gap']} of the first; under sp $s - 1$ grows from "
        rf"{n['sp-wide-start']} to {n['sp-wide-end']} there. ({meta.setting}.)"
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
