r"""Matrix completion from the origin: plateaus at the errors of the best fits of lower rank.

Sees: BP at the published scale flat for a long time at each plateau, PC at its own scale out much sooner; at the matched scale
PC reaches half of the loss about ten times sooner.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments import matrix_completion
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = matrix_completion
TITLE = "Matrix completion"
SOURCE = "SAD 6"
SIZE = (5.5, 3.9)
LABELS = {
    "bp": "BP",
    "pc": "PC",
    "bp-published": "BP, published scale",
    "pc-published": "PC, published scale",
}


def draw(fig: Figure, result: Result) -> None:
    """Rows: error and gradient norm. Columns: activations. The first draw; lines: best fits of each rank."""
    curves = result["curves"]
    axes = fig.subplots(2, len(curves), squeeze=False, sharex=True, sharey="row")
    plotting.letter(axes.ravel().tolist())
    for column, (activation, runs) in enumerate(curves.items()):
        top, bottom = axes[:, column]
        for ax in (top, bottom):
            ax.set(xscale="log", yscale="log")
        for rank, value in enumerate(result["ranks"][0]):
            top.axhline(value, color=plotting.COLOURS["theory"], lw=0.7, ls=":", label="best fits of lower rank" if rank == 0 else None)  # fmt: skip
        for method, label in LABELS.items():
            run = runs[method]
            color = plotting.COLOURS[method[:2]]
            line = {"ls": "--"} if method.endswith("published") else {}
            seen = np.asarray(run["step"]) > 0
            steps = np.asarray(run["step"])[seen]
            top.plot(steps, np.asarray(run["error"][0])[seen], color=color, label=label, **line)
            bottom.plot(steps, np.asarray(run["norm"][0])[seen], color=color, **line)
        top.set_title("ReLU" if activation == "relu" else activation)
        bottom.set_xlabel("iteration")
    axes[0, 0].set_ylim(1e-3 * result["ranks"][0][0], 3 * result["ranks"][0][0])
    axes[0, 0].set_ylabel("mean squared error")
    axes[1, 0].set_ylabel("gradient norm")
    plotting.legend_outside(fig, axes[0, 0], "bottom", ncols=3)


def iterations_to(run: Any, fraction: float) -> np.ndarray:
    """First iteration at which the error is at most this fraction of the first one, per seed; NaN: not reached."""
    steps, errors = np.asarray(run["step"], dtype=float), np.asarray(run["error"])
    found = []
    for row in errors:
        below = np.flatnonzero(row <= fraction * row[0])
        if len(below) == 0:
            found.append(np.nan)
        elif below[0] == 0:
            found.append(0.0)
        else:  # between two records the error is interpolated
            k = below[0]
            part = (row[k - 1] - fraction * row[0]) / (row[k - 1] - row[k])
            found.append(steps[k - 1] + part * (steps[k] - steps[k - 1]))
    return np.array(found)


def _span(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return "not reached"
    low, high = f"{finite.min():.2g}", f"{finite.max():.2g}"
    text = "-".join(_plain(v) for v in ([low] if low == high else [low, high]))
    return text if len(finite) == len(values) else f"{text} ({len(values) - len(finite)} not)"


def _plain(text: str) -> str:
    return (
        f"{float(text):g}"
        if float(text) >= 1e5 or float(text) < 1e-3
        else f"{float(text):,.10g}".replace(",", "")
    )


def _ratio(values: np.ndarray) -> str:
    return f", ratio {_span(values)}" if np.isfinite(values).any() else ""


def caption(result: Result, meta: Meta) -> str:
    """Plateaus, iterations to a half and to 3% of the error, ratios."""
    ranks = ", ".join(f"{v:.4g}" for v in result["ranks"][0])
    parts = []
    for activation, runs in result["curves"].items():
        half = {m: iterations_to(runs[m], 0.5) for m in LABELS}
        last = {m: iterations_to(runs[m], 0.03) for m in LABELS}
        name = "ReLU" if activation == "relu" else activation
        parts.append(
            f"{name}: {_span(half['bp'])} (BP) and {_span(half['pc'])} (PC) at the matched scale{_ratio(half['bp'] / half['pc'])}; "
            f"{_span(half['bp-published'])} and {_span(half['pc-published'])} at the published one{_ratio(half['bp-published'] / half['pc-published'])}; "
            f"to 3%, past the last saddles, matched: {_span(last['bp'])} and {_span(last['pc'])}"
        )
    return (
        rf"A {meta.config['size']} x {meta.config['size']} matrix of rank {meta.config['rank']}, {100 * meta.config['hidden_share']:g}% of it hidden, "
        rf"H = {meta.config['hidden_layers']}, full batch, from $\sigma$ = {meta.config['init']:g}, T = {meta.config['inference_steps']} steps of inference. Mean squared "
        rf"error over all entries (hidden ones count as 0) and norm of the gradient of what is descended, for one draw; dotted: errors of the best fits of lower rank "
        rf"of this matrix, {ranks} (the published plateaus of another matrix: 3.446, 1.096, 0.1255). Solid: both rules with 1/(2B) in front; dashed: at the scales of the public code. "
        rf"Iterations to half of the error: {'. '.join(parts)}. Published at the matched scale: about 10000 against 1000. "
        rf"Runs end after {meta.config['bp_iterations']} iterations of BP and {meta.config['pc_iterations']} of PC at the matched scale. "
        rf"The saddles of BP are not used as starting points of PC here. ({meta.setting}; {meta.config['seeds']} draw{'s' if meta.config['seeds'] > 1 else ''}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Iterations to half of the error and their ratios, linear network."""
    runs = result["curves"]["linear"]
    half = {m: iterations_to(runs[m], 0.5) for m in LABELS}
    return {
        **{f"half-{m}": _span(half[m]) for m in LABELS},
        "ratio": _span(half["bp"] / half["pc"]),
        "ratio-published": _span(half["bp-published"] / half["pc-published"]),
        **{f"rank-{k}": float(f"{v:.4g}") for k, v in enumerate(result["ranks"][0])},
    }
