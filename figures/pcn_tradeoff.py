r"""Classification by inference: the local rule, backprop through inference, and both directions.

What to see: the local rule at the reconstruction end; a front with a knee along lambda, whose accuracy ends
near that of regression from the pixels; bidirectional networks in between.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import pcn_tradeoff
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = pcn_tradeoff
TITLE = "The local rule reconstructs, backprop through inference classifies"
SOURCE = "INI 2"
SIZE = (5.5, 4.6)
_ARMS = (
    ("through", "o", plotting.COLOURS["pc"], "BP through inference"),
    ("bidirectional", "D", plotting.COLOURS["newton"], "bidirectional, local"),
    ("local", "*", plotting.COLOURS["highlight"], "local rule"),
)
_SHOWN = (0.0, 0.3, 1.0)
"""The weights of reconstruction whose images are shown."""


def draw(fig: Figure, result: Result) -> None:
    """Fronts, linear and tanh; accuracy and reconstruction over lambda; images."""
    top, bottom = fig.subfigures(2, 1, height_ratios=(1, 1))
    front, curved, knee = top.subplots(1, 3)
    _front(front, result, "")
    _front(curved, result, "tanh_")
    front.set(title="linear", ylabel="test accuracy")
    curved.set(title="tanh")
    # with lambda = 1 nothing trains the label: its chance accuracy lies below the panel, and is in the last
    # one
    shown = [np.asarray(result[f"{arm}_accuracy"]).mean() for arm in ("local", "tanh_local", "bidirectional")]
    for ax in (front, curved):
        ax.set_ylim(min(shown) - 0.1, min(1.0, result["logistic_accuracy"] + 0.06))
        ax.set_xlabel("reconstruction error")
    _knee(knee, result)
    pictures = bottom.subplots(1, 1)
    _images(pictures, result)
    plotting.letter([front, curved, knee, pictures])
    plotting.legend_outside(top, front, "bottom")


def _front(ax: Axes, result: Result, prefix: str) -> None:
    for arm, marker, color, label in _ARMS:
        if f"{prefix}{arm}_accuracy" not in result:
            continue
        accuracy = np.asarray(result[f"{prefix}{arm}_accuracy"])
        error = np.asarray(result[f"{prefix}{arm}_reconstruction"])
        if arm == "through":
            ax.plot(error.mean(1), accuracy.mean(1), color=color, lw=0.8)
        ax.errorbar(
            error.mean(1),
            accuracy.mean(1),
            xerr=error.std(1),
            yerr=accuracy.std(1),
            fmt=marker,
            ms=8 if marker == "*" else 4,
            color=color,
            markeredgecolor="white",
            elinewidth=0.8,
            label=label,
            zorder=4,
        )
    if not prefix:
        regression, components = result["logistic_accuracy"], result["pca_reconstruction"]
        ax.axhline(regression, color="black", lw=0.7, ls="--")
        ax.axvline(components, color="black", lw=0.7, ls=":")
        ax.annotate("logistic regression", (1, regression), (0, 2), xycoords=("axes fraction", "data"),
                    textcoords="offset points", fontsize=7, ha="right")  # fmt: skip
        ax.annotate("dotted: principal\ncomponents", (components, 0.05), (8, 0), textcoords="offset points",
                    xycoords=("data", "axes fraction"), fontsize=7)  # fmt: skip


def _knee(ax: Axes, result: Result) -> None:
    weights = np.asarray(result["weights"])
    places = np.arange(len(weights))
    for key, name, marker, color, above in (
        ("accuracy", "accuracy", "o", plotting.COLOURS["pc"], 8),
        ("reconstruction", "reconstruction error", "s", plotting.COLOURS["loss"], -11),
    ):
        values = np.asarray(result[f"through_{key}"])
        ax.errorbar(places, values.mean(1), values.std(1), fmt=f"{marker}-", ms=3, lw=0.9, color=color)
        ax.annotate(name, (places[-2], values.mean(1)[-2]), (0, above), textcoords="offset points",
                    fontsize=7, color=color, ha="right")  # fmt: skip
    ax.set_xticks(places, [f"{w:g}" for w in weights], rotation=60, fontsize=7)
    ax.set(xlabel=r"weight $\lambda$ of reconstruction", title="linear, through inference", ylim=(0, 1.02))


def _images(ax: Axes, result: Result) -> None:
    """One mosaic: a column per network, a row per image."""
    side = int(result["side"])
    weights = np.asarray(result["weights"])
    picks = [int(np.argmin(np.abs(weights - w))) for w in _SHOWN]
    through, images = np.asarray(result["through_pictures"]), np.asarray(result["images"])
    columns = {
        "image": images,
        "local rule": np.asarray(result["local_pictures"])[0],
        **{rf"$\lambda = {weights[i]:g}$": through[i] for i in picks},
        "bidirectional": np.asarray(result["bidirectional_pictures"])[len(result["balances"]) // 2],
        "half missing": _masked(images),
        "filled in": np.asarray(result["filled"]),
    }
    gap = side // 2
    mosaic = np.full((len(images) * side, len(columns) * (side + gap) - gap), np.nan)
    for place, pictures in enumerate(columns.values()):
        start = place * (side + gap)
        mosaic[:, start : start + side] = pictures.reshape(-1, side)
    bound = np.nanpercentile(np.abs(images), 99)
    ax.imshow(mosaic, cmap="gray", vmin=-bound, vmax=bound, rasterized=True)
    ax.set_xticks(side / 2 - 0.5 + (side + gap) * np.arange(len(columns)), list(columns), fontsize=7)
    ax.set_yticks([])
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _masked(images: np.ndarray) -> np.ndarray:
    masked = images.copy()
    masked[:, images.shape[1] // 2 :] = np.nan
    return masked


def _summary(result: Result) -> dict[str, float]:
    """The numbers of the caption: means over seeds."""
    weights = np.asarray(result["weights"])
    accuracy, error = (np.asarray(result[f"through_{key}"]).mean(1) for key in ("accuracy", "reconstruction"))
    # knee: the point of the front farthest from the straight line between its ends, in units of the spans
    a = (accuracy - accuracy.min()) / max(float(np.ptp(accuracy)), 1e-12)
    e = (error - error.min()) / max(float(np.ptp(error)), 1e-12)
    knee = int(np.argmax(a - e))
    bidirectional = np.asarray(result["bidirectional_accuracy"]).mean(1)
    best = int(np.argmax(bidirectional))
    return {
        "local-accuracy": float(np.mean(result["local_accuracy"])),
        "local-reconstruction": float(np.mean(result["local_reconstruction"])),
        "zero-accuracy": float(accuracy[0]),
        "zero-reconstruction": float(error[0]),
        "knee-weight": float(weights[knee]),
        "knee-accuracy": float(accuracy[knee]),
        "knee-reconstruction": float(error[knee]),
        "bidirectional-accuracy": float(bidirectional[best]),
        "bidirectional-reconstruction": float(
            np.asarray(result["bidirectional_reconstruction"]).mean(1)[best]
        ),
        "tanh-local-accuracy": float(np.mean(result["tanh_local_accuracy"])),
        "tanh-best-accuracy": float(np.asarray(result["tanh_through_accuracy"]).mean(1).max()),
    }


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees, what does not."""
    s, c = _summary(result), meta.config
    return (
        "The local rule reconstructs; BP through inference can trade reconstruction for "
        rf"classification. Generative networks (label, {c['code']} codes, image) on "
        rf"{_names.dataset(result['dataset'])}, {_names.seeds(c)}; test images are classified by inferring "
        "the label and reconstructed by their prediction (error 1: a pixel's mean variance). (a) Linear "
        r"networks, exact inference, trained through inference on $\lambda$ reconstruction + $(1 - \lambda)$ "
        rf"cross-entropy. Accuracy and error: local rule {s['local-accuracy']:.3f}, "
        rf"{s['local-reconstruction']:.3f}; $\lambda = 0$ {s['zero-accuracy']:.3f}, "
        rf"{s['zero-reconstruction']:.2f}; $\lambda = {s['knee-weight']:g}$ {s['knee-accuracy']:.3f}, "
        rf"{s['knee-reconstruction']:.3f}; best bidirectional {s['bidirectional-accuracy']:.3f}, "
        rf"{s['bidirectional-reconstruction']:.3f}. (b) tanh codes: local {s['tanh-local-accuracy']:.3f}, "
        rf"through inference up to {s['tanh-best-accuracy']:.3f}. (c) Over $\lambda$; at 1 nothing trains "
        "the label. (d) Reconstructions; right, images completed from their upper half by the local rule. "
        rf"({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """The same numbers for the text."""
    return {key: float(f"{value:.3g}") for key, value in _summary(result).items()}
