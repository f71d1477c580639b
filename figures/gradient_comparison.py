r"""Learning rules between backprop and predictive coding.

What to see: the rules through inference agree with exact PC, Z-IL and fixed predictions with backprop
exactly; the local rule before equilibrium agrees with neither in the layers that errors have not reached;
errors of order rho^K and beta^2.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import gradient_comparison
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = gradient_comparison
TITLE = "Which learning rules are backpropagation and which predictive coding"
SOURCE = "INI 1"
SIZE = (5.5, 5.6)
_RATIOS = "PuOr_r"
"""Of ratios: purple is smaller, orange larger; the blues are kept for cosines."""
_NAMES = {
    "bp": "BP",
    "z-il": "Z-IL",
    "fixed-prediction": "fixed prediction",
    "spiking": "spiking precision",
    "local": r"local rule at $z_T$",
    "truncated": "unrolled, last $K$",
    "detached": "unrolled, start detached",
    "unrolled": "unrolled",
    "error-coordinates": "error coordinates",
    "one-step": "one step (JFB)",
    "neumann": "Neumann, $K$ terms",
    "equilibrium-propagation": "equilibrium prop.",
    "implicit": "implicit",
    "pc": "exact PC",
}


def draw(fig: Figure, result: Result) -> None:
    """Four heatmaps: cosine and log ratio to BP and to PC; two panels of orders."""
    top, bottom = fig.subfigures(2, 1, height_ratios=(1.75, 1))
    axes = top.subplots(1, 4, sharey=True)
    rules = list(_NAMES)
    panels = (
        ("cosine_bp", "cosine to BP"),
        ("cosine_pc", "cosine to PC"),
        ("ratio_bp", r"$|\cdot| / |\mathrm{BP}|$"),
        ("ratio_pc", r"$|\cdot| / |\mathrm{PC}|$"),
    )
    for ax, (key, title) in zip(axes, panels, strict=True):
        table = np.array([np.nanmean(result[key][rule], axis=0) for rule in rules])
        ratio = key.startswith("ratio")
        shown = np.log10(np.maximum(table, 1e-9)) if ratio else table
        limits = (-1.5, 1.5) if ratio else (0, 1)
        image = ax.imshow(
            shown,
            aspect="auto",
            cmap=_RATIOS if ratio else plotting.SEQUENCE,
            vmin=limits[0],
            vmax=limits[1],
            rasterized=True,
        )
        if key.endswith("pc"):  # one bar for the two maps of a kind
            bar = top.colorbar(
                image, ax=axes[2:] if ratio else axes[:2], location="bottom", shrink=0.7, aspect=40
            )
            bar.set_label("norm / norm" if ratio else "cosine")
            if ratio:
                bar.set_ticks([-1, 0, 1], labels=["0.1", "1", "10"])
        for (row, column), value in np.ndenumerate(table):
            dark = abs(shown[row, column]) > (0.65 * limits[1] if ratio else 0.45)
            ax.text(
                column, row, _short(value), ha="center", va="center", fontsize=6,
                color="white" if dark else plotting.COLOURS["ink"],
            )  # fmt: skip
        layers = table.shape[1]
        ax.set_xticks(range(layers), [str(l) for l in range(1, layers + 1)])
        ax.set_yticks(range(len(rules)), list(_NAMES.values()), fontsize=7)
        ax.tick_params(length=0)
        ax.set(title=title, xlabel="layer $l$")
        for spine in ax.spines.values():
            spine.set_visible(False)
    left, right = bottom.subplots(1, 2)
    _orders(left, right, result)
    plotting.letter([axes[0], axes[1], axes[2], axes[3], left, right])


def _short(value: float) -> str:
    if not np.isfinite(value):
        return "0"
    if abs(value) >= 9.95:
        return f"{value:.0f}"
    if abs(value) >= 0.995:
        return f"{value:.1f}" if abs(value - 1) > 5e-3 else "1"
    text = f"{value:.2f}".replace("0.", ".", 1)
    return "0" if text in (".00", "-.00") else text


def _orders(left: Axes, right: Axes, result: Result) -> None:
    terms, betas = np.asarray(result["terms"]), np.asarray(result["betas"])
    neumann, ep, rho = (np.atleast_2d(np.asarray(result[key])) for key in ("neumann", "ep", "rho"))
    left.set_yscale("log")
    for row, contraction, color in zip(neumann, rho.ravel(), plotting.shades(len(neumann)), strict=True):
        left.plot(terms, row, "o", color=color, ms=3)
        plotting.theory(left, terms, contraction**terms, label=None, linewidth=0.6)
    left.set(xlabel="terms $K$ of the adjoint", ylabel="relative error")
    plotting.note(left, r"lines: $\rho^K$", "upper right", fontsize=7)
    right.set(xscale="log", yscale="log", xlabel=r"nudge $\beta$", ylabel="relative error")
    for row, color in zip(ep, plotting.shades(len(ep)), strict=True):
        right.plot(betas, row, "o", color=color, ms=3)
        plotting.theory(
            right,
            betas,
            row[len(row) // 2] * (betas / betas[len(betas) // 2]) ** 2,
            label=None,
            linewidth=0.6,
        )
    plotting.note(right, r"line: slope 2", "upper left", fontsize=7)


def _slopes(result: Result) -> dict[str, float]:
    """Median fitted exponents: log error per term over log rho, and log error over log beta."""
    terms, betas = np.asarray(result["terms"], dtype=float), np.asarray(result["betas"])
    neumann, ep, rho = (np.atleast_2d(np.asarray(result[key])) for key in ("neumann", "ep", "rho"))
    rates, orders = [], []
    for row, contraction in zip(neumann, rho.ravel(), strict=True):
        late = (row > 1e-11) & (terms >= terms[row > 1e-11].max() / 3)
        rates.append(np.polyfit(terms[late], np.log(row[late]), 1)[0] / np.log(contraction))
    for row in ep:
        clean = row > 1e-11
        orders.append(np.polyfit(np.log(betas[clean]), np.log(row[clean]), 1)[0])
    return {"neumann": float(np.median(rates)), "ep": float(np.median(orders))}


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees, what does not."""
    slopes = _slopes(result)
    widths = "-".join(str(n) for n in meta.config["widths"])

    def distance(key: str, *rules: str) -> float:
        return max(float(np.max(np.abs(np.nanmean(result[key][rule], axis=0) - 1))) for rule in rules)

    exact = max(distance("cosine_bp", "z-il", "fixed-prediction"), 1e-16)
    implicit = distance("cosine_pc", "implicit", "one-step", "neumann", "equilibrium-propagation")
    gap = np.nanmean(result["cosine_bp"]["pc"], axis=0)
    return (
        rf"Of {len(_NAMES)} learning rules, some are exactly backpropagation and some exactly predictive "
        rf"coding. "
        rf"Linear networks ({widths}) at initialisation, $T = {meta.config['num_steps']}$ steps of "
        rf"inference, mean of {meta.config['seeds']} draws. (a, b) Cosine to BP and to exact PC by layer; "
        "(c, d) ratios of norms (colour: logarithm). Z-IL and fixed predictions are BP (cosines within "
        rf"{exact:.0e} of 1). Implicit, one-step, Neumann and equilibrium propagation are exact PC (within "
        rf"{implicit:.0e}). PC has cosines of {gap.min():.2f} to {gap.max():.2f} to BP. Unrolled gradients "
        "come closer to PC than the local rule. (e, f) A task loss other than the energy: error of the "
        rf"adjoint after $K$ terms (lines: the bound $\rho^K$; fitted rate {slopes['neumann']:.2f}, expected "
        rf"1) and of equilibrium propagation (order {slopes['ep']:.2f}, expected 2). ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """Fitted orders."""
    return {f"order-{key}": float(f"{value:.3g}") for key, value in _slopes(result).items()}
