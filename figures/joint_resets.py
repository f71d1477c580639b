r"""Accuracy when the layers below, or above, a place go back to where they started.

To see: how many layers next to the output hold what the published rule has learned, and that exact inference
spreads the work as backpropagation does.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import joint_resets
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures.depth_all_layers import RULES
from pctheory import plotting

EXPERIMENT = joint_resets
TITLE = "Which layers the function needs"
SOURCE = "here"
MATTERS = 0.01
"""Loss of accuracy by a joint reset above which the layers are counted."""
SIZE = (5.5, 3.9)
LABELS = {rule: RULES[rule] for rule in joint_resets.RULES} | {"near": ("PC exact", *RULES["near"][1:])}


def draw(fig: Figure, result: Result) -> None:
    """A row for each network: layers reset from the input side, and from the output side."""
    networks = list(result["runs"])
    axes = fig.subplots(len(networks), 2, sharey="row", squeeze=False)
    for network, row in zip(networks, axes, strict=True):
        for side, ax in zip(("below", "above"), row, strict=True):
            _curves(ax, result["runs"][network], side)
            ax.set_title(_named(network))
        row[0].set_ylabel("test accuracy (%)")
    axes[-1, 0].set_xlabel("layers $1..k$ reset, $k$")
    axes[-1, 1].set_xlabel("layers $k + 1..L$ reset, $k$")
    plotting.letter(axes)
    plotting.legend_outside(fig, axes[0, 0], "bottom", ncols=3)


def _named(network: str) -> str:
    dataset, hidden = network.split()
    return f"{_names.dataset(dataset)}, $H = {hidden}$"


def _curves(ax: Axes, runs: Result, side: str) -> None:
    for rule, (label, colour, marker) in LABELS.items():
        if rule in runs:
            values = 100 * np.asarray(runs[rule][side])
            plotting.spread(
                ax, np.arange(values.shape[1]), values, colour, label, marker=marker, ms=2.5, lw=0.8
            )
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))


def spared(run: Result) -> int:
    """The most layers next to the input whose joint reset costs at most `MATTERS`, in the mean over seeds."""
    lost = np.mean(np.asarray(run["below"])[:, :1] - np.asarray(run["below"]), axis=0)
    return int(np.argmax(lost > MATTERS)) - 1


def half(run: Result) -> int:
    """The most layers next to the input whose joint reset leaves half of what training brought."""
    mean = np.mean(run["below"], axis=0)
    return int(np.argmax(mean < (mean[0] + mean[-1]) / 2)) - 1


def numbers(result: Result) -> dict[str, str | float]:
    """By rule, data and depth: rate, accuracy and its deviation, layers that can be reset, passes, and time
    over backpropagation's.
    """
    found: dict[str, str | float] = {}
    for network, runs in result["runs"].items():
        for rule, run in runs.items():
            name = f"{network.replace(' ', f'-{rule}-')}"
            accuracy = 100 * np.asarray(run["accuracy"])
            found[name] = f"{accuracy.mean():.1f}"
            found[f"{name}-deviation"] = f"{accuracy.std(ddof=min(1, len(accuracy) - 1)):.1f}"
            found[f"{name}-rate"] = f"{float(run['rate']):g}"
            found[f"{name}-spared"] = spared(run)
            found[f"{name}-half"] = half(run)
            found[f"{name}-passes"] = f"{float(np.mean(run['passes'])):.1f}"
            found[f"{name}-time"] = f"{float(np.mean(run['seconds']) / np.mean(runs['bp']['seconds'])):.1f}"
            if rule == "near":
                found[f"{name}-error"] = f"{100 * float(np.mean(run['estimate'])):.1f}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """How many layers each rule's function can do without."""
    c, n = meta.config, numbers(result)
    parts = []
    for network, runs in result["runs"].items():
        cells = []
        for rule in runs:
            name = network.replace(" ", f"-{rule}-")
            cells.append(f"{LABELS[rule][0]} {n[name]}, {n[f'{name}-spared']}, {n[f'{name}-half']}")
        parts.append(f"{_named(network)}: {', '.join(cells)}")
    return (
        rf"The function of published predictive coding lies in the last layers; exact inference spreads it "
        rf"over the network, as backpropagation does. ReLU residual networks in Depth-$\mu$P, "
        rf"$N = {c['width']}$, Adam; exact: $\alpha = 1/256$. Left: the layers $1..k$ are reset to where "
        rf"they started; right: those above $k$. Test accuracy (%), the layers next to the input that can be "
        rf"reset for {100 * MATTERS:g} point, and for half of what was learned: {'; '.join(parts)}. "
        rf"({meta.setting}; {_names.seeds(c)}.)"
    )
