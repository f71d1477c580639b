r"""Ratio of the loss to the equilibrated energy over widths and depths, at initialisation and along training.

Published: mupc: ratio 1 wherever the width exceeds the depth, also after training; sp: a ratio that grows
with depth and does not fall with width. The middle row has the rate of mupc scaled with width and depth,
which the published one is not.
"""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from experiments import energy_loss_ratio
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = energy_loss_ratio
TITLE = "The ratio of loss to energy over width and depth"
SOURCE = "MU 6"
SIZE = (5.5, 5.4)

CASES = {"mupc": r"$\mu$PC", "scaled": r"$\mu$PC, scaled rate", "sp": "sp"}


def _ratio(result: Result, case: str) -> np.ndarray:
    return np.asarray(result[case]["loss"]) / np.asarray(result[case]["energy"])


def draw(fig: Figure, result: Result) -> None:
    """Rows of heatmaps at up to four iterations; bottom: the excess of S at initialisation against its
    mean.
    """
    top, bottom = fig.subfigures(2, 1, height_ratios=(3, 1.3))
    times = list(result["times"])
    shown = sorted(
        {0, len(times) - 1, *np.linspace(0, len(times) - 1, min(4, len(times))).astype(int).tolist()}
    )
    axes = top.subplots(len(CASES), len(shown), squeeze=False)
    widths, hidden = result["widths"], result["hidden"]
    image = None
    for row, (case, label) in zip(axes, CASES.items(), strict=True):
        values = _ratio(result, case)
        for ax, k in zip(row, shown, strict=True):
            image = ax.imshow(
                np.ma.masked_invalid(np.clip(values[:, :, k], 1, 1e3)).T,
                origin="lower",
                norm=LogNorm(1, 1e3),
                cmap=plotting.LANDSCAPE.reversed(),
            )
            ax.set_facecolor("#e6e6e6")  # where training diverged
            ax.set_xticks(range(0, len(widths), 2), [str(w) for w in widths[::2]], fontsize=7)
            ax.set_yticks(range(0, len(hidden), 2), [str(h) for h in hidden[::2]], fontsize=7)
            if case == "mupc":
                ax.set_title(f"iteration {times[k]}" if k else "initialisation", fontsize=8)
        row[0].set_ylabel(f"{label}\n" + "hidden layers $H$", fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("width $N$")
    top.colorbar(image, ax=axes, label=r"$\mathcal{L} / F^*$", shrink=0.8, extend="max")
    panels = bottom.subplots(1, 2)
    for ax, case in zip(panels, ("mupc", "sp"), strict=True):
        part = result[case]
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="width $N$",
            title=f"{CASES[case]}: mean of $S - 1$ at initialisation",
        )
        kept = range(0, len(hidden), 2 if len(hidden) > 4 else 1)
        for h, colour in zip(kept, plotting.shades(len(kept)), strict=True):
            ax.errorbar(
                widths,
                part["excess"][:, h],
                part["error"][:, h],
                fmt="o",
                color=colour,
                label=f"$H = {hidden[h]}$",
                markeredgecolor="white",
                elinewidth=0.8,
            )
            plotting.theory(ax, widths, part["law"][:, h], label=None)
        plotting.log2_axis(ax, "x")
    panels[0].set_ylabel(r"$\mathrm{tr}\,S / n_L - 1$")
    plotting.legend_outside(bottom, panels, "right")


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
    widths, hidden = result["widths"], result["hidden"]
    lost = f" ({n['mupc-diverged']} diverged, grey)" if n["mupc-diverged"] else ""
    return (
        r"Under $\mu$PC loss and energy agree if the width far exceeds the depth. Ratio $\mathcal{L} / F^*$ "
        "of linear residual networks trained by PC at the exact equilibrium on "
        rf"{_names.dataset(result['dataset'])}, Adam at {meta.config['mupc_rate']:g} (row 1), at this times "
        rf"$(NL)^{{-1/2}}$ (row 2), and at {meta.config['sp_rate']:g} for sp (row 3; colours end at 1000). "
        rf"$\mu$PC at $N = {widths[-1]}$, $H = {hidden[-1]}$ goes from {n['mupc-square']} to "
        rf"{n['mupc-square-end']} in {result['times'][-1]} iterations{lost}, at the scaled rate to "
        rf"{n['scaled-square-end']}; where $N \geq 16 H$ it ends at {n['mupc-far-end']} at most. sp starts "
        rf"there at {n['sp-square']}. Bottom: $S - 1$ at initialisation, {meta.config['init_seeds']} "
        r"networks, against its exact mean (black): for $N \geq \max(H, 4)$ the largest deviation is "
        rf"{n['z-max']} standard errors. As published, $\mu$PC tends to 1 with the width and sp does not; "
        rf"the growth in training differs. ({meta.setting}.)"
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
