r"""Ratio of the loss to the equilibrated energy over widths and depths, at initialisation and along training.

Published: mupc: ratio 1 wherever the width exceeds the depth, also after training; sp: a ratio that grows
with depth and does not fall with width. The middle row has the rate of mupc scaled with width and depth,
which the published one is not.
"""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure

from experiments import energy_loss_ratio
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = energy_loss_ratio
TITLE = "Loss and energy agree in wide networks, and training drives them apart"
SOURCE = "MU 6"
SIZE = (5.5, 4.2)

CASES = {"mupc": r"$\mu$PC", "scaled": r"$\mu$PC, scaled rate", "sp": "sp"}
RATIOS = LinearSegmentedColormap.from_list("ratios", ["#ffffff", *plotting.shades(4)])
"""White is 1: the loss is the energy."""


def _ratio(result: Result, case: str) -> np.ndarray:
    return np.asarray(result[case]["loss"]) / np.asarray(result[case]["energy"])


def draw(fig: Figure, result: Result) -> None:
    """Top: maps over width and depth. Bottom: the ratio at all times, and the excess of S at initialisation
    against its mean.
    """
    top, bottom = fig.subfigures(2, 1, height_ratios=(1, 1.05))
    maps, panels = top.subplots(1, 3, sharey=True), bottom.subplots(1, 3)
    widths, hidden, times = result["widths"], result["hidden"], result["times"]
    norm = LogNorm(1, 1e3)
    for ax, (case, when) in zip(maps, (("mupc", 0), ("mupc", -1), ("sp", 0)), strict=True):
        values = np.clip(_ratio(result, case)[:, :, when], 1, 1e3)
        image = ax.imshow(np.ma.masked_invalid(values).T, origin="lower", norm=norm, cmap=RATIOS)
        ax.set_facecolor("#e6e6e6")  # where training diverged
        ax.set_xticks(range(0, len(widths), 2), [str(w) for w in widths[::2]])
        ax.set_yticks(range(0, len(hidden), 2), [str(h) for h in hidden[::2]])
        moment = f"iteration {times[when]}" if when else "initialisation"
        ax.set(title=f"{CASES[case]}, {moment}", xlabel="width $N$")
        for spine in ax.spines.values():
            spine.set_visible(True)
    maps[0].set_ylabel("hidden layers $H$")
    top.colorbar(image, ax=maps, label=r"$\mathcal{L} / F^*$", shrink=0.9, extend="max")
    kept = range(0, len(hidden), 2 if len(hidden) > 4 else 1)
    shades = plotting.shades(len(kept))
    along = panels[0]
    for case, style in (("mupc", "o-"), ("scaled", "o:")):
        for h, colour in zip(kept, shades, strict=True):
            along.plot(times, _ratio(result, case)[-1, h], style, ms=2.5, lw=0.9, color=colour)
    along.set_xscale("symlog", linthresh=5)
    along.set_xticks([0, 10, 100, 900], ["0", "10", "100", "900"])
    along.minorticks_off()
    along.set(yscale="log", ylim=(0.9, None), xlabel="iteration", ylabel=r"$\mathcal{L} / F^*$")
    along.set_title(rf"$\mu$PC, $N = {widths[-1]}$")
    for ax, case in zip(panels[1:], ("mupc", "sp"), strict=True):
        part = result[case]
        ax.set(xscale="log", yscale="log", xlabel="width $N$", title=f"{CASES[case]}, initialisation")
        for h, colour in zip(kept, shades, strict=True):
            ax.errorbar(
                widths,
                part["excess"][:, h],
                part["error"][:, h],
                fmt="o",
                ms=3,
                color=colour,
                label=f"$H = {hidden[h]}$",
                markeredgecolor="white",
                elinewidth=0.8,
            )
            plotting.theory(ax, widths, part["law"][:, h], label=None)
        plotting.log2_axis(ax, "x")
        ax.set_ylabel(r"mean of $\mathrm{tr}\,S / n_L - 1$")
    plotting.letter([*maps, *panels])
    plotting.legend_outside(bottom, panels[1], "bottom")


def numbers(result: Result) -> dict[str, str | float]:
    """Largest and median z-score of the measured means, and ratios at the corners."""
    wide = result["widths"][:, None] >= np.maximum(result["hidden"], 4)  # else rare draws carry the mean
    z = np.concatenate(
        [(np.abs(result[c]["excess"] - result[c]["law"]) / result[c]["error"])[wide] for c in ("mupc", "sp")]
    )
    z = z if z.size else np.array([np.nan])
    far = result["widths"][:, None] >= 16 * result["hidden"]
    mupc, scaled, sp = (_ratio(result, case) for case in CASES)
    return {
        "z-max": round(float(z.max()), 1),
        "z-median": round(float(np.median(z)), 2),
        "mupc-wide": f"{mupc[-1, 0, 0]:.3g}",
        "mupc-wide-end": f"{mupc[-1, 0, -1]:.4g}",
        "mupc-square": f"{mupc[-1, -1, 0]:.3g}",
        "mupc-square-end": f"{mupc[-1, -1, -1]:.0f}",
        "mupc-far-end": f"{mupc[:, :, -1][far].max():.3g}" if far.any() else "nan",
        "mupc-diverged": int(np.sum(~np.isfinite(mupc[:, :, -1]))),
        "scaled-square-end": f"{scaled[-1, -1, -1]:.3g}",
        "scaled-far-end": f"{scaled[:, :, -1][far].max():.3g}" if far.any() else "nan",
        "mupc-narrow": f"{mupc[0, -1, 0]:.3g}",
        "sp-square": f"{sp[-1, -1, 0]:.3g}",
        "sp-square-end": f"{sp[-1, -1, -1]:.3g}",
    }


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees, what does not."""
    n = numbers(result)
    hidden = result["hidden"]
    lost = f" (grey: {n['mupc-diverged']} diverged)" if n["mupc-diverged"] else ""
    return (
        r"Under $\mu$PC loss and energy agree if the width far exceeds the depth, but training drives them "
        r"apart. (a-c) Ratio $\mathcal{L} / F^*$ (colours end at 1000) of linear residual networks trained "
        r"by "
        rf"PC at the exact equilibrium on {_names.dataset(result['dataset'])}{lost}. (d) At all times, Adam "
        rf"at "
        rf"{meta.config['mupc_rate']:g} and at this times $(NL)^{{-1/2}}$ (dotted): at $H = {hidden[-1]}$ "
        rf"the "
        rf"ratio goes from {n['mupc-square']} to {n['mupc-square-end']} and {n['scaled-square-end']}; where "
        rf"$N "
        rf"\geq 16 H$ it ends at {n['mupc-far-end']} at most. (e, f) $S - 1$ at initialisation, "
        rf"{meta.config['init_seeds']} networks, and its exact mean (lines): for $N \geq \max(H, 4)$ within "
        rf"{n['z-max']} standard errors. As published, $\mu$PC tends to 1 with the width and sp does not. "
        rf"({meta.setting}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """The limit of wide networks, in both parameterisations."""
    n = numbers(result)
    return [
        outcome(
            r"under $\mu$PC the loss equals the energy where the width far exceeds the depth",
            rf"ratio {n['mupc-wide']} at first, at most {n['mupc-far-end']} at the end where $N \geq 16 H$",
            float(n["mupc-wide"]) < 1.1,
            float(n["mupc-far-end"]) < 1.2,
        ),
        outcome(
            "in the standard parameterisation it does not",
            f"ratio {n['sp-square']} in the widest and deepest network",
            float(n["sp-square"]) > 10,
        ),
    ]
