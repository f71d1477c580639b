r"""Linear predictive coding graphs: any edges between named nodes, cycles too, as a chain of layers.

A hidden node predicts itself from the nodes with an edge into it,

.. math:: \epsilon_v = z_v - \sum_{u \to v} B_{vu} z_u - b_v, \qquad
          F = \frac{1}{2B} \sum_i \sum_v \epsilon_v^T \Pi_v \epsilon_v ,

and so does the output. A chain computes the same with two additions. A node that is read more than one layer
above its own is *carried* there by units without noise. Nodes on a cycle form one dense block: with the edges
among them in the matrix :math:`B_{CC}`, what enters is multiplied by :math:`(I - B_{CC})^{-1}` and the
precision is :math:`(I - B_{CC})^T \Pi_C (I - B_{CC})`. Claims ``graph-equilibrium``, ``graph-balance``,
``cyclic-logdet``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from .. import _check
from .._check import Array
from ._chain import Edge, Wiring, chain_of, layers_of, loop_of, place_of
from ._contraction import contraction
from ._fields import bias_of, read_only
from ._modules import read_module, require_same_map
from .data import Data
from .network import LinearPCN
from .precision import Precision

__all__ = ["GraphValues", "LinearGraph"]


class Settled(Protocol):
    """An equilibrium of a graph's chain."""

    @property
    def activities(self) -> tuple[Array, ...]: ...

    @property
    def errors(self) -> tuple[Array, ...]: ...

    @property
    def weighted_errors(self) -> tuple[Array, ...]: ...


@dataclass(frozen=True, eq=False, repr=False)
class GraphValues:
    r"""An equilibrium by the names of the nodes.

    Attributes
    ----------
    activities : dict of (B, n_v), one per node
    errors, weighted_errors : dict of (B, n_v), one per node but the input
        :math:`\epsilon_v` and :math:`\Pi_v \epsilon_v`.
    gradient : dict of matrices, one per edge
        :math:`\partial F^* / \partial B_{vu} = -\langle \Pi_v \epsilon_v z_u^T \rangle`, 0 for fixed edges.
    bias_gradient : dict of (n_v,), one per node with a bias
        :math:`-\langle \Pi_v \epsilon_v \rangle`, 0 for fixed ones.
    """

    activities: dict[str, Array]
    errors: dict[str, Array]
    weighted_errors: dict[str, Array]
    gradient: dict[Edge, Array]
    bias_gradient: dict[str, Array]

    def __repr__(self) -> str:
        return f"GraphValues({', '.join(self.activities)})"


@dataclass(frozen=True, eq=False, repr=False, init=False)
class LinearGraph(Wiring):
    r"""A linear predictive coding graph: one input, one output, and hidden nodes with any edges among them.

    Parameters
    ----------
    nodes : mapping of names to numbers of units
        The node without an edge into it is the input, the one without an edge out of it the output.
    edges : mapping of pairs (source, target) to matrices (n_target, n_source)
    biases : mapping of names to vectors, optional
    precisions : mapping of names to a number, vector or matrix, optional
        As in `LinearPCN`; 1 by default. inf for units that carry their value exactly, in a hidden node on no
        cycle.
    fixed : collection of edges, and of nodes, optional
        Edges that do not learn, and nodes whose bias does not.

    Attributes
    ----------
    input, output : str

    Raises
    ------
    ValueError, TypeError
        One sentence with the rule that the argument breaks, and the node or edge.

    Notes
    -----
    Claims ``graph-equilibrium``, ``graph-balance`` and ``cyclic-logdet``. All functions of a network take
    `network`; those that need the noise's inverse refuse graphs that carry values. Its cost is that of passes
    through the chain.

    Examples
    --------
    A skip from the input to the output:

    >>> edges = {("x", "h"): [[2.0]], ("h", "y"): [[3.0]], ("x", "y"): [[1.0]]}
    >>> graph = LinearGraph({"x": 1, "h": 1, "y": 1}, edges)
    >>> graph
    LinearGraph(x -> h -> y, x -> y)
    >>> graph.network
    LinearPCN(1 -> 2 -> 1, 3 weights, precisions, 1 entries fixed)
    """

    def __init__(
        self,
        nodes: Mapping[str, int],
        edges: Mapping[Edge, Any],
        *,
        biases: Mapping[str, Any] | None = None,
        precisions: Mapping[str, Any] | None = None,
        fixed: Iterable[Edge | str] = (),
    ) -> None:
        sizes = {
            name: _check.count(size, f"nodes[{name!r}]", 1)
            for name, size in _check.mapping(nodes, "nodes").items()
        }
        matrices = _matrices(edges, sizes)
        like = next(iter(matrices.values()))
        first = _only_one(sizes, {target for _, target in matrices}, "into it", "input")
        last = _only_one(sizes, {source for source, _ in matrices}, "out of it", "output")
        shifts = {}
        for name, value in _check.mapping(biases or {}, "biases").items():
            _require_node(name, sizes, "biases", first)
            shifts[name] = bias_of(value, sizes[name], like, f"biases[{name!r}]", f"node {name!r}")
        given = _check.mapping(precisions or {}, "precisions")
        for name in given:
            _require_node(name, sizes, "precisions", first)
        chosen = {
            name: Precision.of(
                given.get(name, 1.0), size, like, f"precisions[{name!r}]", zero_noise=name != last
            )
            for name, size in sizes.items()
            if name != first
        }
        held = _check.sequence(fixed, "fixed", "a list of edges (source, target) and of nodes")
        known = [*matrices, *shifts]
        for entry in held:
            if entry not in known:
                raise ValueError(
                    f"`fixed` must name edges of the graph, or nodes with a bias. Got {entry!r}: it is "
                    "neither."
                )
        fields = (sizes, matrices, shifts, chosen, frozenset(held), first, last)
        for name, value in zip(self.__dataclass_fields__, fields, strict=True):
            object.__setattr__(self, name, value)
        for members in self.cycles:
            for name in members:
                if chosen[name].carries:
                    raise ValueError(
                        f"`precisions[{name!r}]` must be finite: node {name!r} is on a cycle, where every "
                        "unit needs noise. Got inf."
                    )
            self._require_invertible(members)

    @classmethod
    def from_torch(
        cls, module: Any, *, input_shape: Sequence[int] | None = None, tensors: bool = False
    ) -> LinearGraph:
        """The graph of a torch module that is linear in its input, with the names of its trace.

        Parameters
        ----------
        module, input_shape, tensors
            As in `LinearPCN.from_torch`.

        Returns
        -------
        LinearGraph
            A node has the name of the traced operation whose result it is: the input that of the argument of
            `forward`, the output "output", unless a layer has this name.

        Raises
        ------
        ValueError, TypeError
            As `LinearPCN.from_torch`.
        """
        read = read_module(module, input_shape, tensors=_check.flag(tensors, "tensors"))
        graph = cls(read.nodes, read.edges, biases=read.biases, fixed=read.fixed)
        require_same_map(module, graph.network, input_shape)
        return graph

    def replace(self, **changes: Any) -> LinearGraph:
        """A new graph; the edges, biases and precisions that are given change, and the others stay.

        Parameters
        ----------
        **changes
            Any of `edges`, `biases`, `precisions` (mappings that may be partial) and `fixed`.

        Returns
        -------
        LinearGraph

        Raises
        ------
        TypeError
            For any other name.
        """
        own: dict[str, Any] = {
            "edges": self.edges,
            "biases": self.biases,
            "precisions": {name: p.value for name, p in self.precisions.items()},
        }
        unknown = sorted(set(changes) - set(own) - {"fixed"})
        if unknown:
            raise TypeError(f"`replace` takes only {', '.join(own)}, fixed. Got {', '.join(unknown)}.")
        merged = {
            name: {**value, **_check.mapping(changes.get(name, {}), name)} for name, value in own.items()
        }
        return LinearGraph(self.nodes, **merged, fixed=changes.get("fixed", self.fixed))

    @property
    def network(self) -> LinearPCN:
        r"""The chain: units that carry a value have the precision inf, and what is no edge is fixed.

        Its widths are those of the layers with what they carry. Edges into or on a cycle are fixed in it, as
        the entries of its matrices are no longer theirs: `by_name` has their gradient.
        """
        constant = all(is_numpy_array(matrix) for matrix in self.edges.values())
        return self._network if constant else self._build()  # torch tensors change in place

    @cached_property
    def _network(self) -> LinearPCN:
        return self._build()

    def _build(self) -> LinearPCN:
        fields, precisions = chain_of(self)
        return LinearPCN(**fields).with_precisions(precisions)

    def by_name(self, settled: Settled) -> GraphValues:
        r"""An equilibrium of `network` by the names of the nodes and edges.

        Parameters
        ----------
        settled : pctheory.inference.Equilibrium
            ``equilibrium(graph.network, data)``.

        Returns
        -------
        GraphValues

        Notes
        -----
        On a cycle the errors of the nodes are :math:`(I - B_{CC})` times those of the chain's block.

        Examples
        --------
        >>> from pctheory import Data, equilibrium
        >>> edges = {("x", "h"): [[2.0]], ("h", "y"): [[3.0]], ("x", "y"): [[1.0]]}
        >>> graph = LinearGraph({"x": 1, "h": 1, "y": 1}, edges)
        >>> values = graph.by_name(equilibrium(graph.network, Data([[1.0]], [[8.0]])))  # r = 1, S = 10
        >>> round(values.errors["h"].item(), 12), round(values.gradient["x", "y"].item(), 12)
        (0.3, -0.1)
        """
        z: dict[str, Array] = {}
        errors: dict[str, Array] = {}
        weighted: dict[str, Array] = {}
        for k, layer in enumerate(layers_of(self)):
            for name in (n for n in layer if self.levels[n] == k):
                cut = place_of(self, layer, name)
                z[name] = settled.activities[k][:, cut]
                if k:
                    errors[name] = settled.errors[k - 1][:, cut]
                    weighted[name] = settled.weighted_errors[k - 1][:, cut]
        xp = array_namespace(*z.values())
        for group in self.cycles:
            loop = loop_of(self, group)
            block = xp.concat([errors[n] for n in group], axis=1) @ loop.T
            pushed = xp.linalg.solve(loop.T, xp.concat([weighted[n] for n in group], axis=1).T).T
            for name in group:
                cut = place_of(self, group, name)
                errors[name], weighted[name] = block[:, cut], pushed[:, cut]
        size = z[self.input].shape[0]
        gradient = {
            (u, v): xp.zeros_like(matrix) if (u, v) in self.fixed else -weighted[v].T @ z[u] / size
            for (u, v), matrix in self.edges.items()
        }
        shifts = {
            name: xp.zeros_like(bias) if name in self.fixed else -xp.mean(weighted[name], axis=0)
            for name, bias in self.biases.items()
        }
        return GraphValues(z, errors, weighted, gradient, shifts)

    def edges_of(self, parts: Iterable[Array]) -> dict[Edge, Array]:
        """Arrays like ``network.parameters``, a gradient say, as one matrix per edge.

        Parameters
        ----------
        parts : tuple like ``network.parameters``
            Of a graph without cycles.

        Returns
        -------
        dict of matrices, one per edge

        Raises
        ------
        ValueError
            If the graph has a cycle.
        """
        if self.cycles:
            raise ValueError(
                f"`edges` must have no cycle for the entries of the chain to be those of the edges. Got one "
                f"through {', '.join(map(repr, self.cycles[0]))}: `by_name` has their gradient."
            )
        layers, arrays = layers_of(self), tuple(parts)
        return {
            (u, v): arrays[k - 1][place_of(self, layers[k], v), place_of(self, layers[k - 1], u)]
            for (u, v), k in ((edge, self.levels[edge[1]]) for edge in self.edges)
        }

    def contracted(self, data: Data) -> tuple[LinearPCN, Data]:
        r"""The network of two layers with the same equilibrated energy, seen from the ends of the graph.

        Its hidden layer is that of the nodes O that the output reads, its maps are those from the input to
        them, :math:`[(I - B)^{-1} B_{in}]_O`, and from them, :math:`C_O`. Its hidden precision is the inverse
        of :math:`M = [(I - B)^{-1} \Sigma (I - B)^{-T}]_{OO}`. What an edge from the input to the output
        predicts is taken off the targets.

        Parameters
        ----------
        data : Data
            x and y.

        Returns
        -------
        net : LinearPCN
            1 hidden layer.
        data : Data
            x, and y less what the edge from the input to the output predicts.

        Raises
        ------
        ValueError
            If the output reads no hidden node, or units without noise.

        Notes
        -----
        Claim ``graph-saddles``: if all edges from the input to hidden nodes and from hidden nodes to the
        output learn, and one from the input to the output does not, whatever is fixed elsewhere, a critical
        point of the graph is a strict saddle if and only if it is one of this network;
        `classify_critical_point` and `second_order_form` say which. All of them must learn: where the output
        reads one node by a fixed edge and another by an edge that learns, there are local minima at which
        this network has a strict saddle. Cost: a solve of the size of all hidden nodes.

        Examples
        --------
        >>> edges = {("x", "a"): [[2.0]], ("a", "b"): [[3.0]], ("b", "y"): [[1.0]], ("x", "y"): [[1.0]]}
        >>> graph = LinearGraph({"x": 1, "a": 1, "b": 1, "y": 1}, edges)
        >>> net, data = graph.contracted(Data([[1.0]], [[8.0]]))
        >>> [w.item() for w in net.weights], round(1 / net.precisions[0].value.item(), 12)  # M = 1 + 3^2
        ([6.0, 1.0], 10.0)
        >>> data.y.item()
        7.0
        """
        return contraction(self, data)

    def imbalance(self) -> dict[str, Array]:
        r"""What the edges out of a hidden node j weigh beyond those into it,

        .. math:: \sum_{j \to k} B_{kj}^T B_{kj} - \sum_{i \to j} B_{ji} B_{ji}^T - b_j b_j^T .

        If all these edges learn, gradient flow on the equilibrated energy lets it grow at
        :math:`\langle \Pi_j \epsilon_j \epsilon_j^T + \epsilon_j \epsilon_j^T \Pi_j \rangle`. Claim
        ``graph-balance``.

        Returns
        -------
        dict of (n_j, n_j), one per hidden node
        """
        result = {}
        for name in self.nodes:
            if name in (self.input, self.output):
                continue
            total: Array = 0.0
            if name in self.biases:
                total = -self.biases[name][:, None] @ self.biases[name][None, :]
            for (u, v), matrix in self.edges.items():
                total = total + matrix.T @ matrix if u == name else total
                total = total - matrix @ matrix.T if v == name else total
            result[name] = total
        return result

    def _require_invertible(self, group: tuple[str, ...]) -> None:
        loop = _check.to_numpy(loop_of(self, group), "edges")
        singular = np.linalg.svd(loop, compute_uv=False)
        # the precision of the block holds its square
        if not singular[-1] > (len(loop) * np.finfo(np.float64).eps) ** 0.5 * max(1.0, float(singular[0])):
            raise ValueError(
                f"`edges` must leave I - B invertible on every cycle. Got a smallest singular value of "
                f"{singular[-1]:.1e} on that through {', '.join(map(repr, group))}: change its matrices."
            )

    def __repr__(self) -> str:
        way = list(self.nodes)
        main = [edge for edge in pairwise(way) if edge in self.edges]
        first = " -> ".join(way) if len(main) == len(way) - 1 else ""
        others = [f"{u} -> {v}" for u, v in self.edges if not first or (u, v) not in main]
        return f"LinearGraph({', '.join(part for part in (first, *others) if part)})"


def _matrices(edges: Mapping[Edge, Any], sizes: Mapping[str, int]) -> dict[Edge, Array]:
    """The edges, checked against the nodes."""
    matrices: dict[Edge, Array] = {}
    for edge, value in _check.mapping(edges, "edges").items():
        if not isinstance(edge, tuple) or len(edge) != 2:
            raise TypeError(f"`edges` must have pairs (source, target) as keys. Got {edge!r}.")
        for name in edge:
            if name not in sizes:
                raise ValueError(
                    f"`edges` must join nodes of the graph, {', '.join(map(repr, sizes))}. Got {edge!r}: "
                    f"{name!r} is none."
                )
        source, target = edge
        matrix = _check.matrix(value, f"edges[{edge!r}]")
        if tuple(matrix.shape) != (sizes[target], sizes[source]):
            raise ValueError(
                f"`edges[{edge!r}]` must have shape ({sizes[target]}, {sizes[source]}): it maps node "
                f"{source!r} to node {target!r}. Got {tuple(matrix.shape)}."
            )
        matrices[source, target] = read_only(matrix) if is_numpy_array(matrix) else matrix
    if not matrices:
        raise ValueError("`edges` must hold at least one edge. Got none.")
    _check.same_namespace(tuple(matrices.values()), "edges")
    return matrices


def _only_one(sizes: Mapping[str, int], others: set[str], where: str, role: str) -> str:
    found = [name for name in sizes if name not in others]
    if len(found) != 1:
        listed = ", ".join(map(repr, found)) or "none"
        raise ValueError(
            f"`edges` must leave one node without an edge {where}, the {role}. Got {listed}: "
            + ("join them in one node." if found else "the cycles leave no room for it.")
        )
    return found[0]


def _require_node(name: Any, sizes: Mapping[str, int], argument: str, first: str) -> None:
    if name not in sizes or name == first:
        allowed = ", ".join(repr(n) for n in sizes if n != first)
        raise ValueError(f"`{argument}` must name nodes other than the input, {allowed}. Got {name!r}.")
