r"""Speed-up of PC over backprop out of a saddle, at the published scales and at the same scale.

What to see: hundreds to more than a thousand times at the published scales, about 2 to 20 times at the
matched one.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import matched_scale
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = matched_scale
TITLE = "Published speed-ups are mostly a difference of scale"
SOURCE = "new"
SIZE = (5.5, 2.9)


def draw(fig: Figure, result: Result) -> None:
    """Left: loss against time. Right: speed-ups."""
    problems = result["problems"]
    axes = fig.subplots(1, 2, width_ratios=(1.2, 1))
    for (name, found), style in zip(problems.items(), ("-", "--", ":"), strict=True):
        for rule in ("bp", "pc"):
            curve = found[rule]
            axes[0].semilogx(
                curve["curve_time"], curve["curve_loss"] / curve["curve_loss"][0], style,
                color=plotting.COLOURS[rule], label=f"{'BP' if rule == 'bp' else 'PC'}, {name}",
            )  # fmt: skip
    axes[0].set(xlabel="time of the flow", ylabel=r"$\mathcal{L} / \mathcal{L}(0)$")
    plotting.legend_outside(fig, axes[0], "bottom", ncols=3)
    ax, place = axes[1], np.arange(len(problems))
    for offset, (level, color) in enumerate(
        zip(result["levels"], plotting.shades(len(result["levels"])), strict=True)
    ):
        for factor, marker in ((False, "o"), (True, "^")):
            speed = [
                _speed_up(found, offset) * (found["factor"] if factor else 1) for found in problems.values()
            ]
            values = np.array(speed).T
            label = None if factor else rf"to {100 * level:g}%"
            spot = place + 0.22 * (offset - 1)
            plotting.measured(ax, spot, values, label, color=color, marker=marker, ms=4)
    ax.axhline(1, color=plotting.COLOURS["ink"], lw=0.6, ls=":")
    ax.set_yscale("log")
    ax.set_xticks(place, [name.replace(" ", "\n", 1) for name in problems])
    ax.set_xlim(-0.5, len(problems) - 0.5)
    ax.set_ylabel("speed-up of PC")
    ax.legend(
        fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, handlelength=0.8, columnspacing=1
    )
    plotting.letter(axes)


def _speed_up(found: Result, level: int) -> np.ndarray:
    """(seeds,), at the matched scale."""
    return np.asarray(found["bp"]["times"])[:, level] / np.asarray(found["pc"]["times"])[:, level]


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees."""
    levels, c = list(result["levels"]), meta.config
    parts = "; ".join(
        rf"{name} {np.median(_speed_up(found, 0)):.2g} and "
        rf"{np.median(_speed_up(found, len(levels) - 1)):.2g} ($\times {found['factor']:g}$)"
        for name, found in result["problems"].items()
    )
    return (
        "Most of the published speed-up of $10^2$ to $10^3$ is a difference of scale; from small weights PC "
        "remains faster without it. Exact gradient flow on linear networks: a chain with two hidden units, a "
        rf"wide toy network, completion of a matrix ({c['completion_size']} x {c['completion_size']}, rank "
        rf"{c['completion_rank']}). (a) Loss of one initialisation. (b) Time of BP over time of PC to "
        rf"fractions of the first loss, {c['seeds']} initialisations, at the matched (circles) and at the "
        rf"published scales (triangles). Medians at the matched scale to half and to {100 * levels[-1]:g}%, "
        rf"in brackets the factor $B n_L / 2$ of the published scales: {parts}. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """Median speed-ups to half of the loss at the matched scale."""
    found = [float(np.median(_speed_up(each, 0))) for each in result["problems"].values()]
    return {"least": float(f"{min(found):.2g}"), "most": float(f"{max(found):.2g}")}
