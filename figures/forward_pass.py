r"""Size of the forward pass against depth, at initialisation and after one and two steps of training.

What to see: Depth-muP with skips keeps a size of order one at every depth and stays there under training; the
standard parameterisation explodes with skips and dies without.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import forward_pass
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = forward_pass
TITLE = "Stability of the forward pass"
SOURCE = "MU A.29"
SIZE = (5.5, 5.6)


def draw(fig: Figure, result: Result) -> None:
    """Rows: parameterisations. Columns: linear, tanh, ReLU at initialisation; then linear after the steps."""
    cases = [c for c in forward_pass.CASES if c in result]
    axes = fig.subplots(len(cases), 4, sharex=True)
    depths = result["depths"]
    places = [str(p) for p in result["places"]]
    shades = plotting.shades(len(places))
    for row, case in zip(axes, cases, strict=True):
        for ax, phi in zip(row, forward_pass.ACTIVATIONS, strict=False):
            values = result[case][phi]["adam"][:, 0, :]
            for k, (place, colour) in enumerate(zip(places, shades, strict=True)):
                ax.plot(depths, values[:, k], "o-", color=colour, label=f"layer ${place}$", linewidth=0.9)
        plotting.theory(row[0], depths, result[case]["law"], label="law, layer $L-1$")
        for optimiser, line in (("sgd", "--"), ("adam", "-")):
            steps = result[case]["linear"][optimiser]
            for step, colour in zip(range(1, steps.shape[1]), ("#ffa90e", "#bd1f01"), strict=False):
                last = np.where(np.isfinite(steps[:, step, -1]), steps[:, step, -1], np.nan)
                name = {"sgd": "SGD", "adam": "Adam"}[optimiser]
                row[3].plot(
                    depths, last, line, marker="o", color=colour, label=f"{name}, step {step}", linewidth=0.9
                )
        row[0].set_ylabel(f"{_names.parameterisation(case)}\nroot mean square")
        for ax in row:
            ax.set(xscale="log", yscale="log")
            finite = np.concatenate([line.get_ydata() for line in ax.lines])
            finite = finite[np.isfinite(finite) & (finite > 0)]
            low, high = finite.min(), finite.max()
            ax.set_ylim(max(low / 2, 1e-30), min(high * 2, 1e30))
            if high / low < 100:  # a decade around the values, so that flat looks flat
                ax.set_ylim(0.02, 50)
            plotting.log2_axis(ax, "x")
    for ax, title in zip(
        axes[0], ("linear, init", "tanh, init", "ReLU, init", "linear, trained"), strict=True
    ):
        ax.set_title(title)
    for ax in axes[-1]:
        ax.set_xlabel("depth $L$")
        ax.tick_params(axis="x", labelsize=6.5)
    plotting.legend_outside(fig, axes, "bottom", ncols=5)


def numbers(result: Result) -> dict[str, str | float]:
    """The last hidden layer of the deepest residual mupc network."""
    values = result["mupc + skips"]["linear"]["adam"][-1, :, -1]
    return {"mupc": round(float(values[0]), 3), "mupc-trained": round(float(values[-1]), 3)}


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees, what does not."""
    n = numbers(result)
    return (
        r"With $\mu$PC and skips the forward pass keeps its size at every depth; with sp it explodes or "
        rf"dies. Root mean square of five layers against depth, width {meta.config['width']}, Gaussian "
        "inputs. Columns 1 to 3: at initialisation (black: the exact mean for linear networks). Column 4: "
        rf"linear networks after one and two steps of SGD (dashed, base rate {meta.config['sgd_rate']:g}) "
        rf"and Adam (solid, {meta.config['adam_rate']:g}), with the learning rates of the parameterisation. "
        r"$\mu$PC with skips tends to $\sqrt{e} \approx 1.649$; measured at the greatest depth: "
        rf"{n['mupc']}, and {n['mupc-trained']} after {meta.config['steps']} steps of Adam. sp explodes with "
        "skips and dies without. Orthogonal weights keep 1 in linear networks but not with tanh or ReLU. As "
        rf"published. Missing points overflowed. ({meta.setting}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Sizes at the greatest depth."""
    n = numbers(result)
    sp = float(result["sp + skips"]["linear"]["adam"][-1, 0, -1])
    return [
        outcome(
            r"under $\mu$PC the activities keep their size at every depth, also after updates",
            f"{n['mupc']} at the greatest depth, {n['mupc-trained']} after {meta.config['steps']} steps "
            "of Adam",
            0.5 < float(n["mupc"]) < 2,
            0.5 < float(n["mupc-trained"]) < 2,
        ),
        outcome(
            "in the standard parameterisation with skips they explode",
            "overflow" if not np.isfinite(sp) else f"{sp:.1e}",
            not sp < 1e3,
        ),
    ]
