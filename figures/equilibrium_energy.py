r"""The energy after inference, against the closed form, along training and along inference.

What to see: the two curves overlap at every depth and on every data set; the energy tends to F* from above as
T grows, down to the floor that the tolerance of the solver sets.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import equilibrium_energy
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = equilibrium_energy
TITLE = "The closed form of the equilibrated energy is what inference reaches"
SOURCE = "SAD 1; JPC library experiment 2"
SIZE = (5.5, 3.6)


def _by_set(result: Result) -> dict[str, dict[int, Result]]:
    """cells[data set][H]."""
    table: dict[str, dict[int, Result]] = {}
    for name, cell in result["cells"].items():
        asked, _, hidden = name.rpartition(" H=")
        table.setdefault(asked, {})[int(hidden)] = cell
    return table


def draw(fig: Figure, result: Result) -> None:
    """Top: energy against training iteration. Bottom: relative excess over F* against inference time."""
    table = _by_set(result)
    axes = np.atleast_2d(fig.subplots(2, len(table), sharey="row")).reshape(2, -1)
    for column, cells in enumerate(table.values()):
        top, bottom = axes[:, column]
        for (hidden, cell), color in zip(cells.items(), plotting.shades(len(cells)), strict=True):
            top.plot(cell["steps"], cell["numerical"], "o", ms=3.5, color=color, label=f"$H = {hidden}$")
            plotting.theory(top, cell["steps"], cell["exact"], label=None)
            for key, line in (("by_time", "o:"), ("by_time_tight", "o-")):
                excess = np.asarray(cell[key]) / cell["exact_final"] - 1
                bottom.plot(result["times"], excess, line, ms=2.5, lw=0.9, color=color)
        bottom.set(yscale="log", xlabel="inference time $T$")
        top.set(xlabel="training iteration", title=_names.dataset(next(iter(cells.values()))["dataset"]))
    axes[0, 0].set_ylabel("energy")
    axes[1, 0].set_ylabel(r"$F(z_T) / F^* - 1$")
    plotting.legend_outside(fig, axes[0, 0], "bottom")
    plotting.letter(axes)


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees."""
    cells = list(result["cells"].values())
    sets = ", ".join(dict.fromkeys(_names.dataset(cell["dataset"]) for cell in cells))
    late, tight = (
        max(cell[key][-1] / cell["exact_final"] - 1 for cell in cells) for key in ("by_time", "by_time_tight")
    )
    tolerance, tighter = meta.config["tolerance"], meta.config["tight_tolerance"]
    return (
        "The closed form of the equilibrated energy is what inference reaches: the two differ by at most "
        rf"{_worst(result):.1e} along training. Linear networks of width {meta.config['width']} trained by "
        rf"the local rule (Adam, {meta.config['learning_rate']:g}, batch {meta.config['batch_size']}) on "
        rf"{sets}. Top: energy after Heun inference to $T = {meta.config['inference_time']:g}$ (points) and "
        "$F^*$ on the same batch and weights (line), which overlap as published. Bottom: after training, the "
        "excess of the energy over $F^*$ against inference time. At the published tolerance of the solver, "
        rf"{tolerance:g} (dotted), an error of up to {late:.1g} of $F^*$ remains at $T = "
        rf"{max(meta.config['times']):g}$; at {tighter:g} (solid) the excess falls to at most {tight:.1e}. "
        rf"({meta.setting}.)"
    )


def _worst(result: Result) -> float:
    """Largest difference between the two energies along training."""
    return max(float(np.max(np.abs(cell["numerical"] - cell["exact"]))) for cell in result["cells"].values())


def numbers(result: Result) -> dict[str, float]:
    """The worst disagreement along training, and after it at the tight tolerance (relative to F*)."""
    tight = max(cell["by_time_tight"][-1] / cell["exact_final"] - 1 for cell in result["cells"].values())
    return {"worst": float(f"{_worst(result):.1e}"), "excess": float(f"{tight:.1e}")}


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Prediction and inference along training."""
    scale = max(float(np.max(cell["exact"])) for cell in result["cells"].values())
    worst = _worst(result)
    return [
        outcome(
            "the energy after inference and its closed form coincide along training",
            f"largest difference {worst:.1e}, {100 * worst / scale:.1g}% of the largest energy",
            worst < 0.01 * scale,
        )
    ]
