r"""Loss and equilibrated energy of the toy, with the paths of BP and PC.

What to see: BP bends towards the origin first and ends near (-.95, 1.05); PC goes directly and ends near
(-.68, 1.46).
"""

import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure

from experiments import tr_landscapes
from experiments._result import Result
from experiments._store import Meta
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = tr_landscapes
TITLE = "Two paths past the saddle"
SOURCE = "TR 1"
SIZE = (5.5, 4.4)
_NAMES = {"bp": r"loss $\mathcal{L}$", "pc": r"equilibrated energy $F^*$"}
_PATHS = {"bp": ("BP", plotting.COLOURS["loss"]), "pc": ("PC", plotting.COLOURS["trust-region"])}


def draw(fig: Figure, result: Result) -> None:
    """Top: surfaces. Bottom: contours, negative gradients and paths. One scale of heights and colours."""
    axis = result["axis"]
    # the ranks of the loss, which has the higher walls, and the energy's own below its largest value
    both = np.concatenate([np.ravel(result[rule]["values"]) for rule in _NAMES])
    levels = np.unique(np.append(np.quantile(both, np.linspace(0, 1, 15))[1:], 0.0))
    tops, bottoms = [], []
    for column, (rule, name) in enumerate(_NAMES.items()):
        part = result[rule]
        top = fig.add_subplot(2, 2, column + 1, projection="3d")
        plotting.surface(top, axis, axis, part["values"], levels=levels)
        top.set(xlabel="$w_1$", ylabel="$w_2$", zlabel=name.split()[-1], title=name, zlim=(0, both.max()))
        top.view_init(elev=34, azim=-62)
        top.set_box_aspect((1, 1, 0.55), zoom=1.0)
        bottom = fig.add_subplot(2, 2, column + 3)
        filled = plotting.contour(
            bottom, axis, axis, part["values"], levels=levels, field=tuple(part["field"])
        )
        first = np.linspace(-2, 2, 400)
        with np.errstate(divide="ignore"):
            second = np.where(np.abs(first) >= 0.5, -1 / first, np.nan)
        bottom.plot(first, second, color="white", lw=1.0, ls=":", zorder=4)
        label, color = _PATHS[rule]
        plotting.path(bottom, part["path"], color)
        halo = [patheffects.withStroke(linewidth=2.5, foreground="white")]
        bottom.annotate(label, part["path"][0], (6, 0), textcoords="offset points", va="center",
                        fontweight="bold", path_effects=halo, zorder=6)  # fmt: skip
        bottom.set(
            xlabel="$w_1$", ylabel="$w_2$", aspect="equal", xticks=(-2, -1, 0, 1, 2), yticks=(-2, -1, 0, 1, 2)
        )
        tops.append(top)
        bottoms.append(bottom)
    bar = fig.colorbar(filled, ax=bottoms, shrink=0.9, pad=0.02, ticks=levels[::3])
    bar.ax.set_yticklabels([f"{v:.2g}" for v in levels[::3]])
    bar.set_label(r"$\mathcal{L}$ or $F^*$")
    plotting.letter([*tops, *bottoms])


def caption(result: Result, meta: Meta) -> str:
    """End points and eigenvalues, against the published ones."""
    ends = {rule: result[rule]["path"][-1] for rule in ("bp", "pc")}
    eigen = {rule: result[rule]["origin_eigenvalues"] for rule in ("bp", "pc")}
    near = {rule: result[rule]["nearest_to_origin"] for rule in ("bp", "pc")}
    return (
        rf"BP bends towards the saddle at the origin and passes it at a distance of {near['bp']:.2f}; PC "
        rf"keeps {near['pc']:.2f} away, because the energy attracts less there and repels more. The toy $f = "
        r"w_2 w_1 x$, $y = -x$, $x \sim N(1, 0.1^2)$: surfaces, and contours with the negative gradient and "
        "stochastic descent from $(0.744, 0.94)$ (dotted: the solutions), one scale. Batches of "
        rf"{meta.config['batch_size']}, learning rate {meta.config['learning_rate']:g} for both, at one "
        rf"scale. Ends: BP $({ends['bp'][0]:.2f}, {ends['bp'][1]:.2f})$ (published: near $(-0.95, 1.05)$), "
        rf"PC $({ends['pc'][0]:.2f}, {ends['pc'][1]:.2f})$ ($(-0.68, 1.46)$). Eigenvalues at the origin: "
        rf"${eigen['bp'][0]:.3f}, {eigen['bp'][1]:.3f}$ (loss), ${eigen['pc'][0]:.3f}, {eigen['pc'][1]:.3f}$ "
        rf"(energy). ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """End points."""
    return {
        f"{rule}-end": "(" + ", ".join(f"{w:.2f}" for w in result[rule]["path"][-1]) + ")"
        for rule in ("bp", "pc")
    }


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Where the two paths end."""
    published = {"bp": (-0.95, 1.05), "pc": (-0.68, 1.46)}
    near = {rule: result[rule]["nearest_to_origin"] for rule in published}
    return [
        *(
            outcome(
                f"{rule.upper()} ends near {end}",
                str(numbers(result)[f"{rule}-end"]),
                bool(np.allclose(result[rule]["path"][-1], end, atol=0.05)),
            )
            for rule, end in published.items()
        ),
        outcome(
            "BP bends towards the saddle, PC does not",
            f"nearest to the origin: BP {near['bp']:.2f}, PC {near['pc']:.2f}",
            bool(near["bp"] < near["pc"]),
        ),
    ]
