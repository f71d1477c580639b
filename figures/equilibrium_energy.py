r"""The energy after inference, against the closed form, along training and along inference.

Sees: the two curves overlap at every depth and on every data set; the energy tends to F* from above as T grows.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import equilibrium_energy
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = equilibrium_energy
TITLE = "The equilibrated energy, predicted and measured"
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
            excess = np.asarray(cell["by_time"]) / cell["exact_final"] - 1
            bottom.plot(result["times"], np.maximum(excess, 1e-16), "o-", ms=3, lw=0.8, color=color)
        bottom.set(yscale="log", xlabel="inference time $T$")
        top.set(xlabel="training iteration", title=next(iter(cells.values()))["dataset"])
    axes[0, 0].set_ylabel("energy")
    axes[1, 0].set_ylabel(r"$F(z_T) / F^* - 1$")
    axes[0, -1].legend(fontsize=7)
    plotting.letter(axes)


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees."""
    worst = max(_errors(result))
    sets = ", ".join(dict.fromkeys(cell["dataset"] for cell in result["cells"].values()))
    late = [np.asarray(c["by_time"])[-1] / c["exact_final"] - 1 for c in result["cells"].values()]
    return (
        rf"Linear networks of width {meta.config['width']} trained by the local rule (Adam, learning rate "
        rf"{meta.config['learning_rate']:g}, batch {meta.config['batch_size']}) on {sets}. Top: energy after Heun inference "
        rf"to $T = {meta.config['inference_time']:g}$ with adaptive steps (points) and the closed form $F^*$ on the same "
        rf"batch and weights (line); the largest relative difference is {worst:.1e}, within the solver's tolerance of "
        rf"{meta.config['tolerance']:g}. Bottom: after training, the energy against inference time tends to $F^*$ from "
        rf"above; at $T = {max(meta.config['times']):g}$ the excess is at most {max(late):.1e}. The published outcome, "
        rf"overlapping curves, is confirmed. ({meta.setting}.)"
    )


def _errors(result: Result) -> list[float]:
    return [
        float(np.max(np.abs(np.asarray(cell["numerical"]) / np.asarray(cell["exact"]) - 1)))
        for cell in result["cells"].values()
    ]


def numbers(result: Result) -> dict[str, float]:
    """The worst disagreement."""
    return {"worst": float(f"{max(_errors(result)):.1e}")}
