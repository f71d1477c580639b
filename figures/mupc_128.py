r"""Test accuracy of networks of 128 hidden layers along training, and which of their layers learned.

Published: muPC close to backpropagation with Depth-muP on MNIST and Fashion-MNIST, without tuning for this
depth.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import mupc_128
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = mupc_128
TITLE = r"$\mu$PC at 128 hidden layers"
SOURCE = "MU A"
SIZE = (5.5, 3.7)
LABELS = {"bp": r"BP, Depth-$\mu$P", "pc": r"$\mu$PC"}
MOVED = 0.1
"""Relative change of a layer's weights above which it counts as having learned."""
COMMAND = "make figures FIG=mupc_128 PROFILE=full"


def draw(fig: Figure, result: Result) -> None:
    """Top: test accuracy against iteration, a panel per data set. Bottom: relative change of each layer's
    weights.
    """
    cases = list(result["runs"])
    axes = fig.subplots(2, len(cases), squeeze=False, sharey="row")
    plotting.letter(axes.ravel().tolist())
    for case, (top, bottom) in zip(cases, axes.T, strict=True):
        bottom.set_yscale("log")
        for rule, label in LABELS.items():
            part = result["runs"][case][rule]
            plotting.spread(top, part["step"], 100 * part["accuracy"], plotting.COLOURS[rule], label)
            change = np.where(part["change"] > 0, part["change"], np.nan)
            layers = np.arange(1, change.shape[1] + 1)
            for row in change:
                bottom.plot(layers, row, marker=".", ms=2, lw=0.6, color=plotting.COLOURS[rule])
        top.set(title=_names.dataset(result["datasets"][case]), ylim=(0, 100))
        top.set_xlim(left=0)
        top.set_xlabel("iteration")
        bottom.set_xlabel("layer $l$")
        for ax in (top, bottom):
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes[0, 0].set_ylabel("test accuracy (%)")
    axes[1, 0].set_ylabel(r"$\Vert \Delta W_l \Vert / \Vert W_l(0) \Vert$")
    plotting.legend_outside(fig, axes[0], "bottom")


def _moved(change: np.ndarray) -> int:
    return round(float(np.mean(np.sum(change > MOVED, axis=1))))


def _minutes(part: Result) -> float:
    return float(np.mean(part["seconds"])) / 60


def numbers(result: Result) -> dict[str, str | float]:
    """Final accuracies in per cent, layers that learned, those that stayed exactly, and minutes, by data
    set and rule.
    """
    found: dict[str, str | float] = {}
    for case, name in result["datasets"].items():
        for rule in LABELS:
            part = result["runs"][case][rule]
            found[f"{name}-{rule}"] = f"{100 * float(np.mean(part['final'])):.1f}"
            found[f"{name}-{rule}-still"] = str(int(np.sum(np.all(part["change"] == 0, axis=0))))
            found[f"{name}-{rule}-moved"] = str(_moved(part["change"]))
            found[f"{name}-{rule}-minutes"] = f"{_minutes(part):.1f}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """Final accuracies, layers that learned, and what the published scale would take."""
    c, layers = meta.config, meta.config["hidden"] + 1
    parts, gaps = [], []
    for case, name in result["datasets"].items():
        pc, bp = (result["runs"][case][rule] for rule in ("pc", "bp"))
        gaps.append(100 * float(np.mean(bp["final"]) - np.mean(pc["final"])))
        parts.append(
            rf"{_names.dataset(name)} {100 * float(np.mean(pc['final'])):.1f} and "
            rf"{100 * float(np.mean(bp['final'])):.1f}, {_moved(pc['change'])} and {_moved(bp['change'])}"
        )
    scale = "" if meta.setting == "exact setting" else f" The published scale: {COMMAND}."
    return (
        rf"$\mu$PC trains {c['hidden']} hidden layers stably; the attenuation of the error leaves most of "
        "them below the rounding. ReLU residual networks, $T = H$ steps, so that no layer is beyond the "
        "light cone; errors as differences in single precision; Adam. Top: accuracy on the "
        rf"first {c['test_images']} test images. Bottom: relative change of each layer's weights; no point: "
        r"exactly zero. Test accuracy in per cent of $\mu$PC and BP, and how many of "
        rf"{layers} layers changed by over {100 * MOVED:g}%: {'; '.join(parts)}. Published, with more "
        rf"training: $\mu$PC competitive. Here BP is ahead by {min(gaps):.1f} to {max(gaps):.1f} "
        rf"points.{scale} ({meta.setting}; {_names.seeds(c)}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Accuracy against BP at 128 hidden layers."""
    c, gaps, least = meta.config, {}, 100.0
    for case, name in result["datasets"].items():
        pc, bp = (100 * float(np.mean(result["runs"][case][rule]["final"])) for rule in ("pc", "bp"))
        gaps[_names.dataset(name)], least = bp - pc, min(least, pc)
    behind = ", ".join(f"{name} {gap:.1f}" for name, gap in gaps.items())
    return [
        outcome(
            r"$\mu$PC trains 128 hidden layers stably",
            f"lowest accuracy {least:.1f}%",
            least > 20,
            tested=c["hidden"] >= 128,
        ),
        outcome(
            r"$\mu$PC is competitive with BP after 5 to 20 epochs at $N = 512$",
            f"points behind BP at $N = {c['width']}$: {behind}",
            *(gap < 1 for gap in gaps.values()),
            tested=c["width"] >= 512,
        ),
    ]
