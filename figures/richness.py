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
    """Losses and s - 1 over training, s - 1 against gamma at both ends."""
    axes = fig.subplots(1, 3)
    steps, gammas = np.asarray(result["steps"]), np.asarray(result["gammas"])
    for ax in axes:
        ax.set_yscale("log")
    shown = np.unique(np.linspace(0, len(gammas) - 1, 4).round().astype(int))
    for k, colour in zip(shown, plotting.shades(len(shown)), strict=True):
        for ax, name in zip(axes, ("loss", "excess"), strict=False):
            plotting.spread(ax, steps, result[name][k], colour, linewidth=2.0)
            ax.plot(steps, result["mean field"][name][k], "-.", color="black", linewidth=0.7)
            end = float(np.nanmean(result[name][k], axis=0)[-1])
            if name == "loss":
                ax.text(1.02 * steps[-1], end, f"{gammas[k]:g}", color=colour, fontsize=7, va="center")
        start = float(np.nanmean(result["excess"][k], axis=0)[0])
        axes[1].text(-0.02 * steps[-1], start, f"{gammas[k]:g}", fontsize=7, va="center", ha="right")
    axes[0].text(steps[-1], 1.05 * axes[0].get_ylim()[1], r"$\gamma$", fontsize=7.5, ha="left", va="bottom")
    axes[1].set_xlim(left=-0.16 * steps[-1])
    axes[2].set_xscale("log")
    plotting.measured(axes[2], gammas, result["excess"][:, :, 0].T)
    end = result["excess"][:, :, -1].T
    kept = np.isfinite(end).all(axis=0)
    plotting.measured(axes[2], gammas[kept], end[:, kept], color=plotting.COLOURS["highlight"], marker="s")
    plotting.theory(axes[2], gammas, result["law"], label=None)
    axes[2].plot(gammas, result["mean field"]["excess"][:, -1], "-.", color="black")
    for k, text, colour in ((0, "start", plotting.COLOURS["pc"]), (-1, "end", plotting.COLOURS["highlight"])):
        height = float(np.nanmean(result["excess"][-1][:, k]))
        at, lift = (0.75 * gammas[-1], 0.95) if text == "start" else (gammas[-1], 1.6)
        axes[2].text(at, lift * height, text, color=colour, fontsize=7.5, ha="right", va="center")
    axes[0].set(xlabel="iteration", ylabel="loss")
    axes[1].set(xlabel="iteration", ylabel="$s - 1$")
    axes[2].set(xlabel=r"richness $\gamma$", ylabel="$s - 1$")
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
        "Rich networks start nearest to backpropagation and drift away from it in training. The toy problem "
        "of the "
        rf"limits at $N = {meta.config['width']}$ with the output divided by $\gamma$ (large: rich), "
        r"residual $\mu$PC, PC at the exact equilibrium, mean and deviation over "
        rf"{_names.seeds(meta.config)}. The distance from BP is $s - 1$. At initialisation it falls as "
        rf"$\gamma^{{{n['exponent']}}}$ (law: $-2$). In {meta.config['steps']} iterations it grows by these "
        rf"factors, measured and in the mean field (dash-dotted), by $\gamma$: {listed}. So the networks "
        r"with $\gamma \geq 1$ end at nearly the same distance; the nearest to BP at the end has "
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
