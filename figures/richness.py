r"""The excess s - 1 over training at several degrees of richness.

What to see: at initialisation it falls as the inverse square of gamma; training drives it up with gamma, as
the mean field predicts.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import richness
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = richness
TITLE = "Rich networks start near backpropagation and drift away"
SOURCE = "LIM A.3, A.22"
SIZE = (5.5, 2.1)


def draw(fig: Figure, result: Result) -> None:
    """Losses and energies, s - 1 over training, s - 1 against gamma at both ends."""
    axes = fig.subplots(1, 3)
    steps, gammas = result["steps"], result["gammas"]
    for ax in axes:
        ax.set_yscale("log")
    for k, colour in enumerate(plotting.shades(len(gammas))):
        plotting.spread(
            axes[0], steps, result["loss"][k], colour, rf"$\gamma = {gammas[k]:g}$", linewidth=1.0
        )
        axes[0].plot(steps, np.nanmean(result["energy"][k], axis=0), ":", color=colour, linewidth=1.0)
        plotting.spread(axes[1], steps, result["excess"][k], colour, linewidth=1.0)
        for ax, name in zip(axes, ("loss", "excess"), strict=False):
            ax.plot(steps, result["mean field"][name][k], "-.", color="black", linewidth=0.7)
    axes[2].set_xscale("log")
    plotting.measured(axes[2], gammas, result["excess"][:, :, 0].T, label="start")
    end = result["excess"][:, :, -1].T
    kept = np.isfinite(end).all(axis=0)
    plotting.measured(axes[2], gammas[kept], end[:, kept], label="end", color=plotting.COLOURS["highlight"])
    plotting.theory(axes[2], gammas, result["law"], label="exact mean")
    axes[2].plot(gammas, result["mean field"]["excess"][:, -1], "-.", color="black", label="mean field")
    axes[0].set(xlabel="iteration", ylabel="loss, energy (dotted)")
    axes[1].set(xlabel="iteration", ylabel="$s - 1$")
    axes[2].set(xlabel=r"richness $\gamma$", ylabel="$s - 1$")
    axes[2].legend(fontsize=7)
    plotting.legend_outside(fig, axes[0], "bottom", ncols=6)
    plotting.letter(axes)


def numbers(result: Result) -> dict[str, str | float]:
    """Growth of s - 1 over training by gamma."""
    start, end = result["excess"][:, :, 0].mean(axis=1), result["excess"][:, :, -1].mean(axis=1)
    found: dict[str, str | float] = {
        f"growth-{g:g}": f"{e / s:.3g}" for g, s, e in zip(result["gammas"], start, end, strict=True)
    }
    field = result["mean field"]["excess"]
    for g, row in zip(result["gammas"], field, strict=True):
        found[f"field-growth-{g:g}"] = f"{row[-1] / row[0]:.3g}"
    exponent = np.polyfit(np.log(result["gammas"]), np.log(start), 1)[0] if len(start) > 1 else np.nan
    found["exponent"] = round(float(exponent), 2)
    best = np.nanargmin(np.where(np.isfinite(end), end, np.nan))
    found["nearest"] = f"{result['gammas'][best]:g}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees, what does not."""
    n, gammas = numbers(result), list(result["gammas"])
    listed = ", ".join(
        f"{n[f'growth-{g:g}']} and {n[f'field-growth-{g:g}']} at {g:g}"
        for g in dict.fromkeys((gammas[0], gammas[-1]))
    )
    return (
        "Rich networks start nearest to backprop and drift away from it in training. The toy problem of the "
        rf"limits at $N = {meta.config['width']}$ with the output divided by $\gamma$ (large: rich), "
        r"residual $\mu$PC, PC at the exact equilibrium, mean and deviation over "
        rf"{_names.seeds(meta.config)}. The distance from backprop is $s - 1$. At initialisation it falls as "
        rf"$\gamma^{{{n['exponent']}}}$ (law: $-2$). In {meta.config['steps']} iterations it grows by these "
        rf"factors, measured and in the mean field (dash-dotted), by $\gamma$: {listed}. So the networks "
        r"with $\gamma \geq 1$ end at nearly the same distance; the nearest to backprop at the end has "
        rf"$\gamma = {n['nearest']}$. ({meta.setting}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Where rich networks start, and how far they drift."""
    n, gammas = numbers(result), list(result["gammas"])
    return [
        outcome(
            r"larger $\gamma$ starts nearer to BP and drifts further from it",
            rf"distance at first as $\gamma^{{{n['exponent']}}}$; growth {n[f'growth-{gammas[0]:g}']} at "
            rf"$\gamma = {gammas[0]:g}$, {n[f'growth-{gammas[-1]:g}']} at {gammas[-1]:g}",
            float(n["exponent"]) < -1,
            float(n[f"growth-{gammas[-1]:g}"]) > float(n[f"growth-{gammas[0]:g}"]),
        )
    ]
