r"""Reading a torch module: traced operation by operation, into affine maps between nodes.

Every tensor of the traced `forward` is an affine function of the nodes so far, :math:`\sum_u M_u z_u + c`.
The input of a layer with weights becomes a node of its own, and so does the output. An operation is taken as
affine if it is so on random rows, one row at a time and twice over; its matrix is read off the unit vectors.
What is no weight of a linear layer as it stands, or is used twice, is fixed.
"""

from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .. import _check

__all__ = ["TracedModule", "read_module", "require_same_map"]

SCALES = (1.0, 1e3, 1e-3)
"""Sizes of the random rows on which an operation must be affine."""


class Network(Protocol):
    """What is compared with the module."""

    @property
    def widths(self) -> tuple[int, ...]: ...

    @property
    def predictors(self) -> tuple[Callable[[Any], Any], ...]: ...

    def to_numpy(self) -> Network: ...


@dataclass
class TracedModule:
    """The arguments of a graph: what a module was read into."""

    nodes: dict[str, int]
    edges: dict[tuple[str, str], Any]
    biases: dict[str, Any]
    fixed: set[Any]


@dataclass
class Term:
    """A matrix from one node, and the weight that it is (times a diagonal); None if it is no single one."""

    matrix: Any
    weight: str | None


@dataclass
class Affine:
    """A tensor of the trace: terms by node, a constant (None for 0), and its shape without the batch."""

    terms: dict[str, Term]
    constant: Any
    shape: tuple[int, ...]


@dataclass
class Reader:
    """The walk through a trace."""

    torch: Any
    trace: Any
    root: Any
    like: Any
    values: dict[Any, Affine] = field(default_factory=dict)
    nodes: dict[str, int] = field(default_factory=dict)
    edges: dict[tuple[str, str], Term] = field(default_factory=dict)
    biases: dict[str, Any] = field(default_factory=dict)

    def materialise(self, value: Affine, name: str) -> Affine:
        """Make a tensor a node."""
        size = math.prod(value.shape)
        self.nodes[name] = size
        for source, term in value.terms.items():
            self.edges[source, name] = term
        if value.constant is not None:
            self.biases[name] = value.constant
        eye = self.torch.eye(size, dtype=self.like.dtype, device=self.like.device)
        return Affine({name: Term(eye, None)}, None, value.shape)

    def evaluate(self, node: Any, rows: dict[Any, Any], batch: int) -> Any:
        """The value of a traced node, with its tensors that depend on the input given or zero."""
        if node in rows:
            return rows[node].clone()  # for operations that change their argument
        if node in self.values:
            zero = self.torch.zeros((batch, *self.values[node].shape), dtype=self.like.dtype)
            return zero.to(self.like.device)
        return self.run(node, rows, batch)

    def run(self, node: Any, rows: dict[Any, Any], batch: int) -> Any:
        """One operation."""
        if node.op == "get_attr":
            found = self.root
            for part in node.target.split("."):
                found = getattr(found, part)
            return found
        map_arg = importlib.import_module("torch.fx.node").map_arg
        args = map_arg(node.args, lambda n: self.evaluate(n, rows, batch))
        kwargs = map_arg(node.kwargs, lambda n: self.evaluate(n, rows, batch))
        if node.op == "call_module":
            return self.root.get_submodule(node.target)(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], node.target)(*args[1:], **kwargs)
        return node.target(*args, **kwargs)

    def sources(self, node: Any) -> list[Any]:
        """The tensors that depend on the input among the arguments of an operation."""
        return [n for n in dict.fromkeys(node.all_input_nodes) if n in self.values]

    def weights_of(self, node: Any) -> bool:
        """Whether an operation is a layer: it has weights, of two dimensions or more."""
        if node.op == "call_module":
            return any(p.ndim > 1 for p in self.root.get_submodule(node.target).parameters())
        inner = [n for n in node.all_input_nodes if n.op == "get_attr"]
        return any(getattr(self.run(n, {}, 1), "ndim", 0) > 1 for n in inner)

    def linear_weight(self, node: Any, shape: tuple[int, ...]) -> tuple[str, Any] | None:
        """The name and the matrix of a linear layer's weight."""
        if len(shape) != 1:
            return None
        if node.op == "call_module":
            layer = self.root.get_submodule(node.target)
            return (str(id(layer.weight)), layer.weight) if type(layer) is self.torch.nn.Linear else None
        if node.op == "call_function" and node.target is self.torch.nn.functional.linear:
            inner = node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")
            if getattr(inner, "op", "") == "get_attr":
                matrix = self.run(inner, {}, 1)
                return str(id(matrix)), matrix
        return None

    def affine(self, node: Any) -> Affine | None:
        """The result of an operation on tensors; None if it is no tensor of the input, like a size."""
        sources = self.sources(node)
        title = operation(node, self.root)
        found = [self.attempt(node, {}, batch, title) for batch in (1, 3)]
        if not isinstance(found[0], self.torch.Tensor):
            several = found[0] if isinstance(found[0], tuple | list) else ()
            if any(isinstance(part, self.torch.Tensor) for part in several):
                raise refused(title, "returns several tensors")
            return None
        if not sources:
            return None
        if any(f.ndim == 0 or f.shape[0] != batch for f, batch in zip(found, (1, 3), strict=True)):
            raise refused(title, "does not keep one row per sample")
        self.require_affine(node, sources, title)
        shape, zero = tuple(found[0].shape[1:]), found[0].reshape(1, -1)
        constant = zero[0] if bool((zero != 0).any()) else None
        terms: dict[str, Term] = {}
        linear = self.linear_weight(node, self.values[sources[0]].shape)
        for source in sources:
            value = self.values[source]
            if linear is not None:
                weight, matrix = linear
            else:
                weight, matrix = None, self.probed(node, source, value.shape, zero)
            if value.constant is not None:
                moved = matrix @ value.constant
                constant = moved if constant is None else constant + moved
            for name, term in value.terms.items():
                own = weight if linear is not None else term.weight if _diagonal(matrix) else None
                plain = linear is not None and _identity(term.matrix)
                product = matrix if plain else term.matrix if _identity(matrix) else matrix @ term.matrix
                before = terms.get(name)
                terms[name] = Term(product, own) if before is None else _sum(before, Term(product, own))
        return Affine(terms, constant, shape)

    def probed(self, node: Any, source: Any, shape: tuple[int, ...], zero: Any) -> Any:
        """The matrix of an operation in one of its arguments."""
        size = math.prod(shape)
        eye = self.torch.eye(size, dtype=self.like.dtype, device=self.like.device)
        return (self.run(node, {source: eye.reshape(size, *shape)}, size).reshape(size, -1) - zero).T

    def attempt(self, node: Any, rows: dict[Any, Any], batch: int, title: str) -> Any:
        try:
            return self.run(node, rows, batch)
        except Exception as error:
            raise refused(title, f"failed: {error}") from error

    def require_affine(self, node: Any, sources: list[Any], title: str) -> None:
        """Refuse an operation that is not affine, row by row, and the same each time."""
        generator = np.random.default_rng(0)
        eps = self.torch.finfo(self.like.dtype).eps

        def rows(scale: float) -> dict[Any, Any]:
            drawn = {n: scale * generator.standard_normal((3, *self.values[n].shape)) for n in sources}
            return {n: self.like.new_tensor(v) for n, v in drawn.items()}

        with self.torch.no_grad():
            zero = self.attempt(node, {}, 3, title)
            for scale in SCALES:
                a, b = rows(scale), rows(scale)
                first, second = self.attempt(node, a, 3, title), self.attempt(node, b, 3, title)
                total = self.attempt(node, {n: a[n] - 2 * b[n] for n in sources}, 3, title)
                alone = self.attempt(node, {n: v[:1] for n, v in a.items()}, 1, title)
                again = self.attempt(node, a, 3, title)
                size = max(float(t.abs().max()) for t in (first, second, zero)) or 1.0
                bound = 1e4 * eps * size * max(1, math.prod(first.shape[1:])) ** 0.5
                if not float((first - again).abs().max()) <= 0:
                    raise refused(title, "gives another result each time: call module.eval()")
                if not float((first[:1] - alone).abs().max()) <= bound:
                    raise refused(title, "mixes the samples of a batch: call module.eval()")
                if not float((total - first + 2 * second - 2 * zero).abs().max()) <= bound:
                    raise refused(title, "is not linear")


def read_module(module: Any, input_shape: Sequence[int] | None, *, tensors: bool) -> TracedModule:
    """The nodes, edges and biases of a module; in float64 numpy, or as torch tensors with their graph."""
    if not callable(getattr(module, "modules", None)):
        raise TypeError(
            "`module` must be a torch.nn.Module that is linear in its input. "
            f"Got {type(module).__name__}: for matrices, use LinearPCN(weights)."
        )
    torch = importlib.import_module("torch")
    root = module if tensors else copy.deepcopy(module).double()
    parameters = list(root.parameters())
    if not parameters:
        raise ValueError(f"`module` must hold linear layers. Got {type(module).__name__} without any.")
    try:
        trace = importlib.import_module("torch.fx").Tracer().trace(root)
    except Exception as error:
        raise ValueError(
            f"`module` must have a forward pass that torch.fx can trace: no branches that depend on data. "
            f"Got {type(error).__name__}: {error}"
        ) from error
    reader = Reader(torch, trace, root, parameters[0].detach())
    before = [(buffer, buffer.clone()) for buffer in root.buffers()]
    try:
        with torch.set_grad_enabled(tensors):
            return _walk(reader, input_shape, tensors=tensors)
    finally:  # a batch norm in training keeps statistics
        for buffer, value in before:
            buffer.copy_(value)


def _walk(reader: Reader, input_shape: Sequence[int] | None, *, tensors: bool) -> TracedModule:
    layers = [n for n in reader.trace.nodes if n.op.startswith("call") and reader.weights_of(n)]
    inputs_of_layers = {source for layer in layers for source in layer.all_input_nodes}
    holders = [n for n in reader.trace.nodes if n.op == "placeholder"]
    if len(holders) != 1:
        raise ValueError(
            f"`module` must have a forward pass of one argument. Got {', '.join(n.name for n in holders)}."
        )
    if not layers:
        raise ValueError("`module` must hold linear layers. Got a forward pass that uses none.")
    shape = _shape(reader, holders[0], layers[0], input_shape)
    for node in reader.trace.nodes:
        if node.op == "placeholder":
            reader.values[node] = reader.materialise(Affine({}, None, shape), node.name)
        elif node.op.startswith("call"):
            value = reader.affine(node)
            if value is None:
                continue
            single = next(iter(value.terms.values()))
            is_node = len(value.terms) == 1 and value.constant is None and _identity(single.matrix)
            if node in inputs_of_layers and not is_node:
                value = reader.materialise(value, node.name)
            reader.values[node] = value
        elif node.op == "output":
            result = node.args[0]
            if result not in reader.values:
                raise ValueError(
                    "`module` must return one tensor that depends on its input. Got another result."
                )
            reader.materialise(reader.values[result], node.name)
    return _traced(reader, tensors=tensors)


def _shape(reader: Reader, holder: Any, layer: Any, given: Sequence[int] | None) -> tuple[int, ...]:
    """The shape of an input, without the batch."""
    if given is not None:
        return tuple(_check.count(n, "input_shape", 1) for n in _check.sequence(given, "input_shape"))
    inner = reader.linear_weight(layer, (1,))
    if inner is None or holder not in _ancestors(layer):
        raise ValueError(
            "`input_shape` must be given for a module that does not begin with a linear layer, such as "
            "(1, 28, 28). Got None."
        )
    return (int(inner[1].shape[1]),)


def _ancestors(node: Any) -> set[Any]:
    found: set[Any] = set()
    waiting = [node]
    while waiting:
        for source in waiting.pop().all_input_nodes:
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found


def _traced(reader: Reader, *, tensors: bool) -> TracedModule:
    uses: dict[str, int] = {}
    for term in reader.edges.values():
        if term.weight is not None:
            uses[term.weight] = uses.get(term.weight, 0) + 1
    fixed = {e for e, t in reader.edges.items() if t.weight is None or uses[t.weight] > 1}

    def result(tensor: Any) -> Any:
        return tensor if tensors else _check.to_numpy(tensor, "module").copy()

    edges = {
        edge: result(term.matrix) for edge, term in reader.edges.items() if bool((term.matrix != 0).any())
    }
    biases = {name: result(vector) for name, vector in reader.biases.items()}
    held: set[Any] = {edge for edge in fixed if edge in edges}
    learning = {target for source, target in edges if (source, target) not in held}
    return TracedModule(reader.nodes, edges, biases, held | {name for name in biases if name not in learning})


def _sum(first: Term, second: Term) -> Term:
    """Of two terms from one node: a weight stays one beside what is fixed, such as an identity."""
    weights = [t.weight for t in (first, second) if t.weight is not None]
    return Term(first.matrix + second.matrix, weights[0] if len(weights) == 1 else None)


def _identity(matrix: Any) -> bool:
    return _diagonal(matrix) and bool((matrix.detach().diagonal() == 1).all())


def _diagonal(matrix: Any) -> bool:
    host = matrix.detach()
    return host.shape[0] == host.shape[1] and int((host != 0).sum()) == int((host.diagonal() != 0).sum())


def operation(node: Any, root: Any) -> str:
    """How errors call an operation."""
    if node.op == "call_module":
        return f"{node.target!r} ({type(root.get_submodule(node.target)).__name__})"
    return repr(node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.name))


def refused(title: str, why: str) -> ValueError:
    return ValueError(f"`module` must be linear in its input. Got operation {title}, which {why}.")


def require_same_map(module: Any, net: Network, input_shape: Sequence[int] | None) -> None:
    """Refuse a module whose output on random inputs is not that of the network it was read into."""
    weight, size = next(module.parameters()), net.widths[0]
    rows = np.random.default_rng(1).standard_normal((4, size))
    given = rows if input_shape is None else rows.reshape(4, *input_shape)
    output = _check.to_numpy(module(weight.new_tensor(given)), "output").reshape(4, -1)
    expected = rows
    for predict in net.to_numpy().predictors:
        expected = predict(expected)
    eps = 2.0**-52 if weight.element_size() == 8 else 2.0**-23
    scale = max(float(np.max(np.abs(expected))), float(np.max(np.abs(output), initial=0.0)))
    # a NaN does not pass
    if output.shape != expected.shape or not np.max(np.abs(output - expected)) <= 1e4 * eps * scale * size:
        raise ValueError(
            "`module` must do what its trace does. Got other outputs on random inputs: its forward pass "
            "changes tensors in place or keeps a state."
        )
