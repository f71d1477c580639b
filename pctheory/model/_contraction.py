r"""A graph seen from its ends: the network of two layers with the same equilibrated energy."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace, device

from .. import _check
from .._check import Array
from ._chain import Wiring
from .data import Data
from .network import LinearPCN

__all__ = ["contraction"]


def contraction(graph: Wiring, data: Data) -> tuple[LinearPCN, Data]:
    """What `LinearGraph.contracted` returns."""
    rows = _check.instance(data, "data", Data).complete()
    hidden = [name for name in graph.nodes if name not in (graph.input, graph.output)]
    read = [name for name in hidden if (name, graph.output) in graph.edges]
    if not read:
        raise ValueError(
            "`edges` must join a hidden node to the output for a graph to have two layers. Got none."
        )
    like = next(iter(graph.edges.values()))
    xp = array_namespace(like)

    def zeros(*names: str) -> Array:
        return xp.zeros([graph.nodes[n] for n in names], dtype=like.dtype, device=device(like))

    def matrix(targets: list[str], sources: list[str]) -> Array:
        edges = [[graph.edges.get((u, v), zeros(v, u)) for u in sources] for v in targets]
        return xp.concat([xp.concat(row, axis=1) for row in edges], axis=0)

    def bias(names: list[str]) -> Array:
        return xp.concat([graph.biases.get(n, zeros(n)) for n in names], axis=0)

    inner = matrix(hidden, hidden)
    eye = xp.eye(len(inner), dtype=like.dtype, device=device(like))
    chosen = xp.concat([eye[_cut(graph, hidden, name)] for name in read], axis=0)
    gain = xp.linalg.solve((eye - inner).T, chosen.T).T  # rows of (I - B)^-1 of the nodes that are read
    spread = []
    for name in hidden:
        covariance = graph.precisions[name].covariance(like)
        part = gain[:, _cut(graph, hidden, name)]
        spread.append(part @ covariance @ part.T)
    noise = sum(spread[1:], spread[0])
    values = np.linalg.eigvalsh(_check.to_numpy(noise, "precisions"))
    if not values[0] > len(values) * np.finfo(np.float64).eps * values[-1]:
        raise ValueError(
            "`precisions` must leave noise in every unit that the output reads. Got a covariance of "
            f"{', '.join(map(repr, read))} with the eigenvalue {values[0]:.1e}."
        )
    net = LinearPCN(
        [gain @ matrix(hidden, [graph.input]), matrix([graph.output], read)],
        biases=[gain @ bias(hidden), bias([graph.output])] if graph.biases else None,
        precisions=[xp.linalg.inv(noise), graph.precisions[graph.output].value],
    )
    direct = graph.edges.get((graph.input, graph.output))
    return net, rows if direct is None else Data(rows.x, rows.y - rows.x @ direct.T)


def _cut(graph: Wiring, names: list[str], name: str) -> slice:
    start = sum(graph.nodes[n] for n in names[: names.index(name)])
    return slice(start, start + graph.nodes[name])
