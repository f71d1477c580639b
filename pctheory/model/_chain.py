"""The chain of a graph: one layer for each level, with what it carries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from .._check import Array
from .precision import Precision

__all__ = ["Edge", "Wiring", "chain_of", "layers_of", "loop_of", "place_of"]

Edge = tuple[str, str]


@dataclass(frozen=True, eq=False, repr=False)
class Wiring:
    """What a chain is made from, unchecked: see `LinearGraph`."""

    nodes: dict[str, int]
    edges: dict[Edge, Array]
    biases: dict[str, Array]
    precisions: dict[str, Precision]
    fixed: frozenset[Edge | str]
    input: str
    output: str

    @cached_property
    def cycles(self) -> tuple[tuple[str, ...], ...]:
        """The sets of nodes that lie on cycles together, in the order of `nodes`."""
        looped = [group for group in self._groups if len(group) > 1 or (group[0], group[0]) in self.edges]
        return tuple(looped)

    @cached_property
    def _groups(self) -> list[tuple[str, ...]]:
        """Strongly connected components."""
        names = list(self.nodes)
        place = {name: i for i, name in enumerate(names)}
        rows, columns = zip(*((place[u], place[v]) for u, v in self.edges), strict=True)
        adjacency = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(names), len(names)))
        count, labels = connected_components(adjacency, connection="strong")
        groups: list[list[str]] = [[] for _ in range(count)]
        for name, label in zip(names, labels, strict=True):
            groups[label].append(name)
        return [tuple(group) for group in sorted(groups, key=lambda g: place[g[0]])]

    @cached_property
    def levels(self) -> dict[str, int]:
        """The layer of the chain at which each node has its error: the longest way from the input."""
        group_of = {name: group for group in self._groups for name in group}
        before = {
            group: {group_of[u] for u, v in self.edges if group_of[v] == group} - {group}
            for group in self._groups
        }
        found: dict[tuple[str, ...], int] = {(self.input,): 0}
        waiting = [group for group in self._groups if group != (self.input,)]
        while waiting:
            ready = [group for group in waiting if before[group] <= found.keys()]
            found.update({group: 1 + max((found[b] for b in before[group]), default=0) for group in ready})
            waiting = [group for group in waiting if group not in ready]
        levels = {name: found[group_of[name]] for name in self.nodes}
        levels[self.output] = 1 + max(level for name, level in levels.items() if name != self.output)
        return levels


def layers_of(graph: Wiring) -> list[list[str]]:
    """The nodes of every layer of the chain: its own first, then those that it carries."""
    levels = graph.levels
    reach = dict(levels)
    for source, target in graph.edges:
        if levels[target] > levels[source]:
            reach[source] = max(reach[source], levels[target] - 1)
    return [
        [n for n in graph.nodes if levels[n] == k] + [n for n in graph.nodes if levels[n] < k <= reach[n]]
        for k in range(1 + max(levels.values()))
    ]


def chain_of(graph: Wiring) -> tuple[dict[str, Any], tuple[Precision, ...]]:
    """The arguments of the network of a graph, and its precisions."""
    layers = layers_of(graph)
    weights, masks, biases, still, precisions = [], [], [], [], []
    for k, (below, here) in enumerate(pairwise(layers), start=1):
        matrix, shift = _affine(graph, below, here, k)
        weights.append(matrix)
        biases.append(shift)
        mask, mask_of_bias = _held(graph, below, here, k)
        masks.append(mask)
        still.append(mask_of_bias)
        precisions.append(_precision(graph, here, k))
    fields: dict[str, Any] = {"weights": weights, "fixed": masks}
    if graph.biases:
        fields |= {"biases": biases, "fixed": [*masks, *still]}
    return fields, tuple(precisions)


def _affine(graph: Wiring, below: list[str], here: list[str], level: int) -> tuple[Array, Array]:
    """The map of a layer, and its bias."""
    xp = array_namespace(*graph.edges.values())
    rows, shifts = [], []
    for name in here:
        own, size = graph.levels[name] == level, graph.nodes[name]
        blocks = [_block(graph, name, u) if own else _identity_or_zero(graph, name, u) for u in below]
        rows.append(xp.concat(blocks, axis=1))
        shifts.append(graph.biases[name] if own and name in graph.biases else _zeros(graph, size))
    matrix, shift = xp.concat(rows, axis=0), xp.concat(shifts, axis=0)
    for group in graph.cycles:
        if graph.levels[group[0]] == level:
            spread = _embedded(graph, loop_of(graph, group), here, group)
            both = xp.linalg.solve(spread, xp.concat([matrix, shift[:, None]], axis=1))
            matrix, shift = both[:, :-1], both[:, -1]
    return matrix, shift


def _held(graph: Wiring, below: list[str], here: list[str], level: int) -> tuple[np.ndarray, np.ndarray]:
    """What does not learn in a layer: all that is no edge, and what leads into a cycle."""
    looped = {name for group in graph.cycles for name in group}
    learning = {name for name in here if graph.levels[name] == level and name not in looped}
    learned = {(u, v) for u, v in graph.edges if v in learning and (u, v) not in graph.fixed}
    mask = np.block(
        [[np.full((graph.nodes[v], graph.nodes[u]), (u, v) not in learned) for u in below] for v in here]
    )
    shifted = learning & (graph.biases.keys() - graph.fixed)
    bias = [np.full(graph.nodes[v], v not in shifted) for v in here]
    return mask, np.concatenate(bias)


def _precision(graph: Wiring, here: list[str], level: int) -> Precision:
    """Of a layer: the nodes' precisions, and inf for what is carried."""
    like = next(iter(graph.edges.values()))
    xp, size = array_namespace(like), sum(graph.nodes[n] for n in here)
    groups = [g for g in graph.cycles if graph.levels[g[0]] == level]
    values = [graph.precisions[n].value if graph.levels[n] == level else np.inf for n in here]
    if not groups and all(isinstance(v, float) or v.ndim == 1 for v in values):
        if len(here) == 1 and isinstance(values[0], float):
            return Precision.unchecked(values[0], size)
        ones = [xp.ones((graph.nodes[n],), dtype=like.dtype, device=device(like)) for n in here]
        return Precision.unchecked(xp.concat([one * v for one, v in zip(ones, values, strict=True)]), size)
    finite, infinite = _zeros(graph, size, size), np.zeros(size, dtype=bool)
    for name in here:
        own, places = graph.levels[name] == level, _places(graph, here, [name])
        infinite[places] = ~graph.precisions[name].noisy if own else True
        if own:
            pick = xp.asarray(np.eye(size)[places], dtype=like.dtype, device=device(like))
            finite = finite + pick.T @ graph.precisions[name].finite_matrix(like) @ pick
    for group in groups:
        loop = _embedded(graph, loop_of(graph, group), here, group)
        finite = loop.T @ finite @ loop
    mask = xp.asarray(np.diag(infinite), device=device(like))
    return Precision.unchecked(xp.where(mask, xp.inf * xp.ones_like(finite), (finite + finite.T) / 2), size)


def loop_of(graph: Wiring, group: tuple[str, ...]) -> Array:
    """I - B among the nodes of a cycle."""
    xp = array_namespace(*graph.edges.values())
    rows = [xp.concat([_block(graph, v, u) for u in group], axis=1) for v in group]
    inner = xp.concat(rows, axis=0)
    return xp.eye(inner.shape[0], dtype=inner.dtype, device=device(inner)) - inner


def place_of(graph: Wiring, layer: Iterable[str], name: str) -> slice:
    """The units of a node in a layer."""
    names = list(layer)
    start = sum(graph.nodes[n] for n in names[: names.index(name)])
    return slice(start, start + graph.nodes[name])


def _places(graph: Wiring, layer: list[str], names: Iterable[str]) -> np.ndarray:
    """The units of some nodes in a layer, as numbers."""
    cuts = [place_of(graph, layer, name) for name in names]
    return np.concatenate([np.arange(cut.start, cut.stop) for cut in cuts])


def _embedded(graph: Wiring, block: Array, here: list[str], group: tuple[str, ...]) -> Array:
    """The identity of a layer with a block in the place of some nodes."""
    xp, size = array_namespace(block), sum(graph.nodes[n] for n in here)
    pick = np.eye(size)[_places(graph, here, group)]
    pick = xp.asarray(pick, dtype=block.dtype, device=device(block))
    rest = xp.eye(size, dtype=block.dtype, device=device(block)) - pick.T @ pick
    return rest + pick.T @ block @ pick


def _block(graph: Wiring, target: str, source: str) -> Array:
    found = graph.edges.get((source, target))
    return _zeros(graph, graph.nodes[target], graph.nodes[source]) if found is None else found


def _identity_or_zero(graph: Wiring, target: str, source: str) -> Array:
    size, like = graph.nodes[target], next(iter(graph.edges.values()))
    if target != source:
        return _zeros(graph, size, graph.nodes[source])
    return array_namespace(like).eye(size, dtype=like.dtype, device=device(like))


def _zeros(graph: Wiring, *shape: int) -> Array:
    like = next(iter(graph.edges.values()))
    return array_namespace(like).zeros(shape, dtype=like.dtype, device=device(like))
