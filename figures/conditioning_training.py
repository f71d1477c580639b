r"""Test accuracy, condition number of inference and the energy gap left by T steps, along the training of deep linear networks.

Published: the condition number grows and spikes during training, the more the deeper, under Adam as under gradient descent on
the activities; orthogonal weights help at the start only.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import conditioning_training
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = conditioning_training
TITLE = "Conditioning along training"
SOURCE = "MU 3"
SIZE = (5.5, 4.9)

TITLES = {"gd": "gradient descent", "adam": "Adam", "orthogonal": "orthogonal weights, GD"}
LINES = ("-", "--", ":")


def draw(fig: Figure, result: Result) -> None:
    """One column per case; rows: accuracy, condition number, energy gap."""
    axes = fig.subplots(3, len(TITLES), sharex=True, sharey="row", squeeze=False)
    hidden, rates = result["hidden"], result["rates"]
    colours = plotting.shades(len(hidden))
    for column, (case, title) in enumerate(TITLES.items()):
        part = result[case]
        for ax in axes[1:, column]:
            ax.set_yscale("log")
        for ax, measure in zip(axes[:, column], ("accuracy", "kappa", "gap"), strict=True):
            values = 100 * part[measure] if measure == "accuracy" else part[measure]
            for h, colour in enumerate(colours):
                for r, line in enumerate(LINES[: len(rates)]):
                    plotting.spread(ax, result["steps"], values[h, r], colour, ls=line, lw=1.0)
        axes[0, column].set(title=title, ylim=(0, 100))
        axes[-1, column].set(xlabel="iteration")
    axes[0, 0].set_ylabel("test accuracy (%)")
    axes[1, 0].set_ylabel(r"condition number $\kappa(H)$")
    axes[2, 0].set_ylabel("relative energy gap")
    for h, colour in zip(hidden, colours, strict=True):
        axes[0, 0].plot([], [], color=colour, label=f"$H = {h}$")
    for rate, line in zip(rates, LINES, strict=False):
        axes[0, 0].plot([], [], color="black", ls=line, lw=1.0, label=f"activity rate {rate:g}")
    plotting.legend_outside(fig, axes[0, 0], "bottom")
    plotting.letter(axes)


def _growth(result: Result, case: str) -> np.ndarray:
    """Last finite condition number of each run over its first, (depths, rates, seeds)."""
    kappa = np.asarray(result[case]["kappa"])
    last = np.sum(np.isfinite(kappa), axis=-1, keepdims=True) - 1
    return np.asarray(np.take_along_axis(kappa, last, axis=-1)[..., 0] / kappa[..., 0])


def _range(values: np.ndarray) -> str:
    """The smallest and the largest, as factors."""
    low, high = f"{np.min(values):.2g}", f"{np.max(values):.2g}"
    return low if low == high else f"{low} to {high}"


def _final(result: Result, case: str, measure: str) -> np.ndarray:
    """Mean over seeds at the end, (depths, rates); NaN where one diverged."""
    return np.asarray(np.mean(result[case][measure][..., -1], axis=-1))


def _best(result: Result, case: str, h: int) -> tuple[float, float, float]:
    """Activity rate of the best final accuracy, that accuracy and the highest along this training, in per cent."""
    final = 100 * _final(result, case, "accuracy")[h]
    if not np.isfinite(final).any():
        return float("nan"), float("nan"), float("nan")
    k = int(np.nanargmax(final))
    along = 100 * np.mean(result[case]["accuracy"][h, k], axis=0)
    return float(result["rates"][k]), float(final[k]), float(along.max())


def numbers(result: Result) -> dict[str, str | float]:
    """Growth of the condition number, best final accuracies, gaps."""
    found: dict[str, str | float] = {}
    for case in TITLES:
        growth, gaps = _growth(result, case), _final(result, case, "gap")
        gaps = gaps[np.isfinite(gaps)]
        found[f"gap-{case}"] = f"{gaps.min():.1g} to {gaps.max():.2g}" if gaps.size else "diverged"
        for h, depth in enumerate(result["hidden"]):
            found[f"growth-{case}-{depth}"] = _range(growth[h])
            found[f"start-{case}-{depth}"] = f"{np.mean(result[case]['kappa'][h, :, :, 0]):.0f}"
            rate, final, highest = _best(result, case, h)
            found[f"rate-{case}-{depth}"] = f"{rate:g}"
            found[f"accuracy-{case}-{depth}"] = f"{final:.1f}"
            found[f"highest-{case}-{depth}"] = f"{highest:.1f}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees, what does not."""
    n, c = numbers(result), meta.config
    data = "MNIST" if result["dataset"] == "mnist" else result["dataset"]
    depths = [int(h) for h in result["hidden"]]
    names = {"gd": "gradient descent", "adam": "Adam", "orthogonal": "orthogonal weights"}
    growth = "; ".join(
        f"{name}: "
        + ", ".join(
            f"from {n[f'start-{k}-{h}']} by factors of {n[f'growth-{k}-{h}']} at $H = {h}$" for h in depths
        )
        for k, name in names.items()
    )
    scores = "; ".join(
        f"{name}: "
        + ", ".join(
            f"{n[f'accuracy-{k}-{h}']} at $H = {h}$ (activity rate {n[f'rate-{k}-{h}']}, highest on the way {n[f'highest-{k}-{h}']})"
            for h in depths
        )
        for k, name in names.items()
    )
    gaps = ", ".join(f"{n[f'gap-{k}']} ({name})" for k, name in names.items())
    return (
        rf"Deep linear networks in the standard parameterisation (torch's initialisation or orthogonal weights, no skips, width "
        rf"{c['width']}) on {data}, Adam {c['learning_rate']:g}, batch {c['batch']}, $T = {c['num_steps']}$ steps of inference by "
        rf"gradient descent or Adam on the batch-mean energy. Top: test accuracy. Middle: condition number of the activity "
        rf"Hessian; it grows over {int(result['steps'][-1])} iterations, {growth}. Bottom: what T steps leave of the energy gap "
        rf"between the feedforward pass and the equilibrium, on one batch; at the end {gaps}; above 1 the energy is higher than "
        rf"before inference. Best final accuracy in per cent, {scores}. {_verdict(result)} ({meta.setting}; seeds: {c['seeds']}.)"
    )


def _verdict(result: Result) -> str:
    """What agrees with the published outcome and what does not, from the measured values."""
    shrinking = sum(int(np.sum(_growth(result, case) < 1)) for case in TITLES)
    total = sum(_growth(result, case).size for case in TITLES)
    grows = f"the condition number grows in {total - shrinking} of {total} runs"
    deeper = [_growth(result, case)[-1].mean() > _growth(result, case)[0].mean() for case in TITLES]
    more = "more in the deeper network" if all(deeper) else "not always more in the deeper network"
    slow, fast = (_final(result, "gd", "kappa")[-1, k] for k in (-1, 0))
    rate = (
        "Not explained by conditioning alone: the smaller the activity rate, the larger it becomes"
        if slow > fast
        else ""
    )
    return (
        rf"Published: inference grows ever worse conditioned with learning, with spikes, under either optimiser, and orthogonal "
        rf"weights do not prevent it. Here {grows}, {more}. {rate}"
    )
