r"""What predictive coding learns behind a bottleneck where backpropagation does reduced-rank regression; the
remedies.

A faithful run sees PC's output space at the principal components of the targets and BP's at that of the
regression where there is noise, no difference without noise, and the remedies in between.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import noise_and_bottleneck
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._escapes import span
from pctheory import plotting

EXPERIMENT = noise_and_bottleneck
TITLE = "Noise and a bottleneck: principal components of the targets"
SOURCE = "new"
SIZE = (5.5, 3.8)
_RULES = {
    "bp": ("BP", plotting.COLOURS["bp"], "s"),
    "pc": ("PC", plotting.COLOURS["pc"], "o"),
    "likelihood": ("likelihood", "#832db6", "^"),
}
_TASKS = ("completion", "classification")


def draw(fig: Figure, result: Result) -> None:
    """Overlap with the regression, prediction on test data, and weight decay."""
    axes = fig.subplots(2, 3)
    for row, task in zip(axes, _TASKS, strict=True):
        _overlaps(row[0], result, task)
        _prediction(row[1], result, task)
        _remedies(row[2], result, task)
        row[0].set_ylabel("overlap")
    axes[0, 0].set_title("completion: overlap")
    axes[1, 0].set_title("classes: overlap")
    axes[0, 1].set_title("completion: prediction")
    axes[1, 1].set_title("classes: prediction")
    axes[0, 2].set_title("completion: weight decay")
    axes[1, 2].set_title("classes: weight decay")
    axes[0, 0].legend(fontsize=7, loc="lower right", handlelength=1)
    axes[0, 2].legend(fontsize=7, loc="lower right", handlelength=1)
    plotting.letter(axes)


def _units(result: Result) -> list[int]:
    return [int(k) for k in result["units"]]


def _series(result: Result, task: str, rule: str, key: str) -> list[float]:
    return [float(result[task][rule][str(k)][key]) for k in _units(result)]


def _over_units(ax: Axes, result: Result) -> None:
    units = _units(result)
    ax.set_xscale("log", base=2)
    ax.set_xticks(units, [str(k) for k in units])
    ax.minorticks_off()
    ax.set_xlabel("hidden units")


def _overlaps(ax: Axes, result: Result, task: str) -> None:
    units = _units(result)
    plotting.theory(ax, units, _series(result, task, "closed_form", "overlap"), label=None)
    plotting.theory(ax, units, np.ones(len(units)), label=None)
    _measured(ax, result, task, "regression")
    ax.set_ylim(0, 1.08)
    _over_units(ax, result)


def _prediction(ax: Axes, result: Result, task: str) -> None:
    if task == "completion":
        for space in ("pca", "regression"):
            plotting.theory(ax, _units(result), _series(result, task, "closed_form", space), label=None)
    _measured(ax, result, task, "test" if task == "completion" else "accuracy")
    ax.set_ylabel(r"test $\mathcal{L}$" if task == "completion" else "test accuracy")
    _over_units(ax, result)


def _measured(ax: Axes, result: Result, task: str, key: str) -> None:
    for rule, (label, color, marker) in _RULES.items():
        values = _series(result, task, rule, key)
        plotting.measured(
            ax,
            _units(result),
            values,
            label=label,
            color=color,
            marker=marker,
            zorder=5,
            linestyle="-",
            lw=0.5,
        )


def _remedies(ax: Axes, result: Result, task: str) -> None:
    decays = [float(d) for d in result["decays"]]
    cells = [result[task]["decay"][f"{d:g}"] for d in decays]
    for key, color in (("pca", plotting.COLOURS["pc"]), ("regression", plotting.COLOURS["bp"])):
        label = {"pca": "components", "regression": "regression"}[key]
        plotting.measured(ax, decays, [float(cell[key]) for cell in cells], label=label, color=color)
    ax.set_xscale("log")
    ax.set(xlabel="weight decay", ylabel="overlap with", ylim=(0, 1.08))


def caption(result: Result, meta: Meta) -> str:
    """What was run, what each objective ends at."""
    found = numbers(result)
    return (
        r"Behind a bottleneck PC learns the principal components of the targets, BP the regression. Linear "
        rf"networks, {_names.dataset(result['dataset'])}, L-BFGS, one seed: the lower half of an image from "
        r"the upper one (top), its class (bottom). (a, d) Overlap of the network's output space with that "
        r"of reduced-rank regression; black: the overlap of the principal components, and 1. The "
        r"components of the classes are nearly equal, and PC has not quite reached them. (b, e) "
        rf"Prediction; black: the best maps into both spaces. With {found['units']} units classes are "
        rf"predicted with {found['pc-accuracy']} (PC) and {found['bp-accuracy']} (BP). (c, f) PC with "
        rf"weight decay, {int(result['decay_units'])} units. Images from themselves, without noise: both "
        rf"overlaps are {found['autoencoding']}. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Where the objectives end: overlaps and test losses with the fewest units, accuracies with the most."""
    first, last = (str(_units(result)[i]) for i in (0, -1))
    task, classes = result["completion"], result["classification"]
    pc, bp = task["pc"][first], task["bp"][first]
    decays = classes["decay"]
    same = [
        result["autoencoding"][rule][str(k)]["regression"] for rule in ("pc", "bp") for k in _units(result)
    ]
    return {
        "pc-components": f"{float(pc['pca']):.4f}",
        "bp-regression": f"{float(bp['regression']):.4f}",
        "likelihood-components": f"{float(task['likelihood'][first]['pca']):.2f}",
        "apart": f"{float(task['closed_form'][first]['overlap']):.2f}",
        "pc-test": f"{float(pc['test']):.3f}",
        "bp-test": f"{float(bp['test']):.3f}",
        "units": last,
        "pc-accuracy": f"{float(classes['pc'][last]['accuracy']):.2f}",
        "bp-accuracy": f"{float(classes['bp'][last]['accuracy']):.2f}",
        "gap": f"{max(float(form['gap']) for form in classes['closed_form'].values()):.3f}",
        "decay-regression": span([float(d["regression"]) for d in decays.values()]),
        "autoencoding": span(same, digits=3),
    }
