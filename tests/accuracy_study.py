"""How far the estimates of the equilibrium's error hold, against arithmetic of 100 digits and more.

`python tests/accuracy_study.py --count 5000 --seed 0` draws networks of every kind below and prints, for the
activities, the errors and the energy, the largest true error over its estimate and the median estimate over
the true error, and how many networks were refused. Networks beyond `LIMIT` are named by kind and number:
`--only KIND NUMBER` draws one of them again.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict

import numpy as np
import oracles

from pctheory import Data, LinearPCN, equilibrium, feedforward

LIMIT = 10.0
"""True errors may be at most this many estimates."""

NAMES = ("activities", "errors", "energy")

KINDS = {
    "ordinary": 0.15,
    "precisions": 0.35,
    "matrices": 0.1,
    "fitted": 0.1,
    "layers": 0.14,
    "weights": 0.15,
    "deep": 0.01,
}
"""Kinds of networks, and the part of each.

`ordinary`: Gaussian weights of gain near 1. `precisions`: weights of 1e-4 to 1e4, precisions of 1e-12 to 1e12
in most. `matrices`: precisions that are matrices of condition up to 1e10. `fitted`: outputs that the network
almost predicts, or that are 1e-15 of the inputs. `layers`: up to 60 layers. `weights`: 1e-150 to 1e150.
`deep`: up to 1000 layers of any gain.
"""


def draw(kind: str, rng: np.random.Generator) -> tuple[LinearPCN, Data, int]:
    """A network of a kind, data, and the digits that its solution needs."""
    depth = {
        "layers": int(10 ** rng.uniform(0.7, 1.78)),
        "deep": int(10 ** rng.uniform(1.7, 3)),
        "weights": int(rng.integers(1, 5)),
    }.get(kind, int(rng.integers(1, 7)))
    widths = rng.integers(1, 4, depth + 1)
    reach = {"ordinary": 0.3, "layers": 0.7, "deep": 1.0, "weights": 150.0}.get(kind, 4.0)
    gains = 10 ** rng.uniform(-reach, reach, depth)
    if kind in ("layers", "deep") and rng.random() < 0.7:
        gains[:] = gains[0]
    weights = [
        g * rng.standard_normal((b, a)) / a**0.5
        for g, a, b in zip(gains, widths[:-1], widths[1:], strict=True)
    ]
    spread = 0.0
    precisions = None
    if kind != "ordinary" and rng.random() < 0.7:
        spread = 12.0
        precisions = [_precision(kind, int(n), rng) for n in widths[1:]]
    net = LinearPCN(weights, precisions=precisions)
    x = rng.standard_normal((2, widths[0]))
    y = rng.standard_normal((2, widths[-1]))
    if kind == "fitted":
        noise = 10 ** rng.uniform(-15, 0)
        y = noise * y if rng.random() < 0.2 else feedforward(net, x)[-1] * (1 + noise * y)
    digits = 120 + 4 * int(np.abs(np.log10(gains)).sum()) + 6 * int(spread)
    return net, Data(x, y), digits


def _precision(kind: str, size: int, rng: np.random.Generator) -> float | np.ndarray:
    if kind == "matrices":
        basis = np.linalg.qr(rng.standard_normal((size, size)))[0]
        values = 10 ** (rng.uniform(-6, 6) + rng.uniform(-5, 5, size))
        full = (basis * values) @ basis.T
        return np.asarray((full + full.T) / 2)
    return float(10 ** rng.uniform(-12, 12)) if rng.random() < 0.6 else 10 ** rng.uniform(-12, 12, size)


def ratios(net: LinearPCN, data: Data, digits: int, method: str) -> dict[str, float] | str:
    """True error over estimate of each quantity, or why there is none."""
    try:
        with np.errstate(all="ignore"):
            eq = equilibrium(net, data, method=method)
            estimate = eq.accuracy
    except (ValueError, ArithmeticError) as error:
        return f"{type(error).__name__}: {str(error)[:60]}"
    true = oracles.true_relative_errors(net, data, eq, digits)
    found = {}
    for name in NAMES:
        bound = getattr(estimate, name)
        if np.isnan(bound):
            continue
        found[name] = 0.0 if np.isinf(bound) else true[name] / bound
    return found | {"infinite": float(sum(np.isinf(estimate)))}


def study(count: int, seed: int, method: str, only: tuple[str, int] | None = None) -> bool:
    """Draw, measure and print; whether every estimate holds."""
    worst: dict[tuple[str, str], list[float]] = defaultdict(list)
    refused: dict[str, Counter[str]] = defaultdict(Counter)
    beyond = []
    for number, kind in enumerate(KINDS):
        total = max(1, round(count * KINDS[kind]))
        for i in range(total) if only is None else [only[1]]:
            if only is not None and only[0] != kind:
                continue
            rng = np.random.default_rng([seed, number, i])
            try:
                with np.errstate(all="ignore"):
                    net, data, digits = draw(kind, rng)
            except ValueError as error:
                refused[kind][f"not drawn: {str(error)[:50]}"] += 1
                continue
            found = ratios(net, data, digits, method)
            if isinstance(found, str):
                refused[kind][found] += 1
                continue
            if found.pop("infinite"):
                refused[kind]["infinite estimate"] += 1
            for name, ratio in found.items():
                worst[kind, name].append(ratio)
                if not ratio <= LIMIT:
                    beyond.append((kind, i, name, ratio, net))
        for name in NAMES:
            values = np.array(worst[kind, name] or [np.nan])
            positive = values[values > 0]
            print(
                f"{kind:11} {name:11} {len(values):5} worst {values.max():8.3g}  "
                f"median estimate / true {1 / np.median(positive) if positive.size else np.nan:8.3g}",
                flush=True,
            )
        for reason, times in refused[kind].items():
            print(f"{kind:11} {times} x {reason}", flush=True)
    for kind, i, name, ratio, net in sorted(beyond, key=lambda case: -case[3])[:20]:
        print(f"{kind} {i}: {name} {ratio:.3g}", net.widths if net.depth < 20 else net.depth)
    return not beyond


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--method", default="auto")
    parser.add_argument("--only", nargs=2, metavar=("KIND", "NUMBER"))
    args = parser.parse_args()
    only = None if args.only is None else (args.only[0], int(args.only[1]))
    return 0 if study(args.count, args.seed, args.method, only) else 1


if __name__ == "__main__":
    sys.exit(main())
