r"""Classification by inference: the local rule, backprop through inference, and both directions.

What to see: the local rule at the reconstruction end; a front with a knee along lambda, whose accuracy ends
near that of regression from the pixels; bidirectional networks in between.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from experiments import pcn_tradeoff
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = pcn_tradeoff
TITLE = "Classification against reconstruction"
SOURCE = "INI 2"
SIZE = (5.5, 4.4)
_ARMS = (
    ("through", "o", plotting.COLOURS["pc"], "BP through inference"),
    ("local", "*", plotting.COLOURS["highlight"], "local rule"),
    ("bidirectional", "D", plotting.COLOURS["newton"], "bidirectional, local"),
)


def draw(fig: Figure, result: Result) -> None:
    """Fronts, linear and tanh; accuracy and reconstruction over lambda; images."""
    top, bottom = fig.subfigures(2, 1, height_ratios=(1, 1.05))
    front, curved, knee = top.subplots(1, 3)
    _front(front, result, "")
    _front(curved, result, "tanh_")
    front.set(title="linear", ylabel="test accuracy")
    curved.set(title="tanh")
    front.legend(fontsize=7, loc="lower right", handlelength=0.8)
    # with lambda = 1 nothing trains the label: its chance accuracy lies below the panel, and is in the last
    # one
    shown = [np.asarray(result[f"{arm}_accuracy"]).mean() for arm in ("local", "tanh_local", "bidirectional")]
    for ax in (front, curved):
        ax.set_ylim(min(shown) - 0.1, min(1.0, result["logistic_accuracy"] + 0.06))
    _knee(knee, result)
    _images(bottom, result)
    plotting.letter([front, curved, knee])


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
        ax.axhline(result["logistic_accuracy"], color="black", lw=0.7, ls="--")
        ax.axvline(result["pca_reconstruction"], color="black", lw=0.7, ls=":")
    ax.set(xlabel="reconstruction error per pixel")


def _knee(ax: Axes, result: Result) -> None:
    weights = np.asarray(result["weights"])
    places = np.arange(len(weights))
    accuracy, error = (np.asarray(result[f"through_{key}"]) for key in ("accuracy", "reconstruction"))
    ax.errorbar(
        places,
        accuracy.mean(1),
        accuracy.std(1),
        fmt="o-",
        ms=3,
        lw=0.9,
        color=plotting.COLOURS["pc"],
        label="accuracy",
    )
    ax.errorbar(
        places,
        error.mean(1),
        error.std(1),
        fmt="s-",
        ms=3,
        lw=0.9,
        color=plotting.COLOURS["loss"],
        label="reconstruction error",
    )
    ax.set_xticks(places, [f"{w:g}" for w in weights], rotation=60, fontsize=7)
    ax.set(xlabel=r"weight $\lambda$ of reconstruction", title="linear, through inference", ylim=(0, 1.02))
    ax.legend(fontsize=7, loc="lower left", handlelength=1.0)


def _images(fig: FigureBase, result: Result) -> None:
    side = int(result["side"])
    weights = np.asarray(result["weights"])
    picks = [0, int(np.argmin(np.abs(weights - 0.3))), len(weights) - 1]
    through = np.asarray(result["through_pictures"])
    rows = {
        "image": np.asarray(result["images"]),
        "local rule": np.asarray(result["local_pictures"])[0],
        **{rf"$\lambda = {weights[i]:g}$": through[i] for i in picks},
        "bidirectional": np.asarray(result["bidirectional_pictures"])[len(result["balances"]) // 2],
        "lower half missing": _masked(np.asarray(result["images"])),
        "filled in": np.asarray(result["filled"]),
    }
    axes = fig.subplots(1, len(rows))
    bound = np.nanpercentile(np.abs(rows["image"]), 99)
    for ax, (name, row) in zip(axes, rows.items(), strict=True):
        ax.imshow(row.reshape(-1, side), cmap="gray", vmin=-bound, vmax=bound, rasterized=True)
        ax.set(xticks=[], yticks=[])
        ax.set_title(name if "$" in name else name.replace(" ", "\n", 1), fontsize=7)
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
        rf"{s['bidirectional-reconstruction']:.3f}. Dashed: logistic regression; dotted: principal "
        rf"components. (b) tanh codes: local {s['tanh-local-accuracy']:.3f}, through inference up to "
        rf"{s['tanh-best-accuracy']:.3f}. (c) Over $\lambda$; at 1 nothing trains the label. Below: "
        rf"reconstructions, and images completed from the upper half. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """The same numbers for the text."""
    return {key: float(f"{value:.3g}") for key, value in _summary(result).items()}
