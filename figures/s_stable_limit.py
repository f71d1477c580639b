r"""The limit of width at a fixed alpha: training against its mean field, and the gradients at initialisation.

A faithful run sees networks approach the mean field of their own alpha like 1/N and stay away from
backprop's, and cosines on the predicted curves.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import s_stable_limit
from experiments._result import Result
from experiments._store import Meta
from figures._escapes import rounded
from pctheory import plotting

EXPERIMENT = s_stable_limit
TITLE = "Precisions that follow the width have a limit of their own"
SOURCE = "new"
SIZE = (5.5, 2.5)
_MARKS = {"plain": "o", "residual": "s"}


def draw(fig: Figure, result: Result) -> None:
    """Losses of the widest networks, the distance from the limits over the width, cosines over the depth."""
    axes = fig.subplots(1, 3)
    _losses(axes[0], result)
    _distances(axes[1], result)
    _cosines(axes[2], result)
    axes[0].set_title("training, no skips")
    axes[1].set_title("distance from the limit")
    axes[2].set_title(r"start, $\Pi_l = 1$")
    plotting.legend_outside(fig, axes, "bottom", ncols=4)
    plotting.letter(axes)


def _colours(result: Result) -> list[str]:
    return [plotting.COLOURS["bp"], *plotting.shades(len(result["alphas"]))]


def _losses(ax: Axes, result: Result) -> None:
    part, names = result["plain"], (0.0, *result["alphas"])
    steps = np.arange(part["field"].shape[1])
    for k, (alpha, colour) in enumerate(zip(names, _colours(result), strict=True)):
        if k:
            plotting.measured(
                ax, steps, part["losses"][k - 1, -1].mean(axis=0), color=colour, ms=3,
                label=rf"networks, $\alpha = {alpha:g}$",
            )  # fmt: skip
        plotting.theory(
            ax, steps, part["field"][k], label="mean field" if k else "mean field of BP",
            linestyle="-" if k else ":",
        )  # fmt: skip
    ax.set_yscale("log")
    ax.set_xlabel("iteration")
    ax.set_ylabel(r"loss $\mathcal{L}$")


def _distances(ax: Axes, result: Result) -> None:
    widths = np.asarray(result["widths"])
    plotting.log2_axis(ax, "x")
    ax.set_yscale("log")
    for case, mark in _MARKS.items():
        part = result[case]
        for k, colour in enumerate(_colours(result)[1:]):
            for base, style in ((k + 1, "-"), (0, ":")):
                ax.plot(
                    widths, _far(part, k, base), mark + style, color=colour, ms=3, lw=0.8,
                )  # fmt: skip
    top = _far(result["plain"], 0, 1)[0]
    plotting.theory(ax, widths, 2 * top * widths[0] / widths, label=r"$\propto 1/N$", linestyle="--")
    ax.set_xlabel("width $N$")
    ax.set_ylabel("rms distance of the mean loss")


def _cosines(ax: Axes, result: Result) -> None:
    depths = np.asarray(result["depths"])
    plotting.log2_axis(ax, "x")
    for case, mark in _MARKS.items():
        part = result[case]
        plotting.measured(
            ax, depths, np.asarray(part["cosines"]).T, marker=mark, ms=3.5, color=plotting.COLOURS["pc"],
            label={"plain": "no skips", "residual": "skips"}[case],
        )  # fmt: skip
        plotting.theory(ax, depths, part["predicted"], label=None)
    ax.set_xlabel("depth $L$")
    ax.set_ylabel(r"cos($\nabla F^*$, $\nabla \mathcal{L}$)")


def _far(part: Result, k: int, base: int) -> np.ndarray:
    """The root mean square over the steps of the distance of the mean loss from a mean field, by width."""
    gap = np.asarray(part["losses"])[k].mean(axis=1) - np.asarray(part["field"])[base]
    return np.sqrt(np.mean(gap[:, 1:] ** 2, axis=-1))


def caption(result: Result, meta: Meta) -> str:
    """What was run and what agrees."""
    found, config = numbers(result), meta.config
    return (
        r"Networks trained on $F^*$ with hidden precisions $L / (\alpha N)$ follow a mean field of their "
        rf"own. Linear $\mu$PC networks, {config['hidden']} hidden layers, {config['seeds']} seeds with both "
        r"signs of the last layer. (a) The widest networks and the limits. (b) Distance of the mean loss "
        r"from the own mean field (solid) and from BP's (dotted); circles: no skips, squares: skips. "
        rf"At $N = {found['widest']}$ the root mean square deviation is {found['z']} standard errors from "
        rf"the own limit, {found['z-bp']} from BP's. (c) Cosine of the gradients of $F^*$ and "
        rf"$\mathcal{{L}}$ "
        rf"at unit precisions, N = {config['cosine_width']}, mean and deviation; black: predicted. "
        rf"({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Standard errors from the limits at the largest width, the exponent in N, the worst cosine."""
    own: list[float] = []
    other: list[float] = []
    slopes = []
    for case in _MARKS:
        part = result[case]
        losses, field = np.asarray(part["losses"]), np.asarray(part["field"])
        for k in range(len(losses)):
            wide = losses[k, -1][:, 1:]
            error = wide.std(axis=0, ddof=1) / np.sqrt(len(wide))
            for base, into in ((k + 1, own), (0, other)):
                into.append(float(np.sqrt(np.mean(((wide.mean(axis=0) - field[base, 1:]) / error) ** 2))))
            slopes.append(np.polyfit(np.log(result["widths"]), np.log(_far(part, k, k + 1)), 1)[0])
    off = [
        np.abs(np.mean(result[case]["cosines"], axis=1) / np.asarray(result[case]["predicted"]) - 1).max()
        for case in _MARKS
    ]
    return {
        "widest": int(np.max(result["widths"])),
        "z": f"{min(own):.1f}-{max(own):.1f}",
        "z-bp": f"{min(other):.0f}-{max(other):.0f}",
        "exponent": f"{np.mean(slopes):.2f}",
        "cosine-off-plain": f"{100 * off[0]:.1f}",
        "cosine-off-residual": f"{100 * off[1]:.1f}",
        "deepest-plain": rounded(float(np.mean(result["plain"]["cosines"][-1]))),
        "deepest-residual": rounded(float(np.mean(result["residual"]["cosines"][-1]))),
    }
