"""Random graphs, and their equilibrium from the definition: one dense least-squares problem."""

import numpy as np
from strategies import random_precision

from pctheory import Data, LinearGraph

KINDS = ("identity", "scalar", "vector", "matrix")


def random_graph(rng, *, cyclic, num_hidden=None, max_width=4, gain=0.7, biases=True):
    """x, hidden nodes and y, joined at random; hidden nodes on a way from x to y."""
    count = int(rng.integers(1, 6)) if num_hidden is None else num_hidden
    names = ["x", *(f"h{i}" for i in range(count)), "y"]
    sizes = {name: int(rng.integers(1, max_width + 1)) for name in names}
    pairs = set()
    for i in range(1, count + 1):  # into every hidden node from below, and out of it upwards
        pairs.add((names[rng.integers(0, i)], names[i]))
        pairs.add((names[i], names[rng.integers(i + 1, count + 2)]))
    for i in range(count + 1):
        pairs.update((names[i], names[j]) for j in range(i + 1, count + 2) if rng.random() < 0.3)
    if cyclic:
        backward = [(u, v) for u in names[1:-1] for v in names[1:-1] if names.index(v) <= names.index(u)]
        chosen = rng.permutation(len(backward))[: max(1, len(backward) // 3)]
        pairs.update(backward[k] for k in chosen)
    edges = {
        (u, v): gain * rng.standard_normal((sizes[v], sizes[u])) / np.sqrt(sizes[u]) for u, v in sorted(pairs)
    }
    precisions = {name: random_precision(KINDS[rng.integers(4)], sizes[name], rng) for name in names[1:]}
    return LinearGraph(
        sizes,
        edges,
        biases={n: rng.standard_normal(sizes[n]) for n in names[1:] if biases and rng.random() < 0.6},
        precisions={name: value for name, value in precisions.items() if value is not None},
    )


def data_for(graph, rng, num_samples=6):
    return Data(
        rng.standard_normal((num_samples, graph.nodes[graph.input])),
        rng.standard_normal((num_samples, graph.nodes[graph.output])),
    )


class Dense:
    """The whole graph in matrices: z = B z + B_in x + b + eps, y = C z + D x + c + eps_y."""

    def __init__(self, graph):
        self.graph = graph
        self.hidden = [n for n in graph.nodes if n not in (graph.input, graph.output)]
        get = self.block
        self.inner = np.block([[get(v, u) for u in self.hidden] for v in self.hidden])
        self.into = np.vstack([get(v, graph.input) for v in self.hidden])
        self.out = np.hstack([get(graph.output, u) for u in self.hidden])
        self.direct = get(graph.output, graph.input)
        self.shift = np.concatenate([self.bias(v) for v in self.hidden])
        self.last = self.bias(graph.output)
        self.roots = [self.root(v) for v in self.hidden]

    def block(self, target, source):
        shape = (self.graph.nodes[target], self.graph.nodes[source])
        return np.asarray(self.graph.edges.get((source, target), np.zeros(shape)))

    def bias(self, name):
        return np.asarray(self.graph.biases.get(name, np.zeros(self.graph.nodes[name])))

    def precision(self, name):
        value = np.asarray(self.graph.precisions[name].value)
        return value * np.eye(self.graph.nodes[name]) if value.ndim < 2 else value

    def root(self, name):
        return np.linalg.cholesky(self.precision(name)).T

    @property
    def loop(self):
        return np.eye(len(self.inner)) - self.inner

    def equilibrium(self, data):
        """Hidden activities, and F*."""
        size = len(self.inner)
        hidden_root = np.zeros((size, size))
        start = 0
        for root in self.roots:
            hidden_root[start : start + len(root), start : start + len(root)] = root
            start += len(root)
        last_root = self.root(self.graph.output)
        jacobian = np.vstack([hidden_root @ self.loop, -last_root @ self.out])
        constant = np.hstack(
            [
                -(data.x @ self.into.T + self.shift) @ hidden_root.T,
                (data.y - data.x @ self.direct.T - self.last) @ last_root.T,
            ]
        )
        z = np.linalg.lstsq(jacobian, -constant.T, rcond=None)[0].T
        rest = z @ jacobian.T + constant
        parts, start = {}, 0
        for name in self.hidden:
            parts[name] = z[:, start : start + self.graph.nodes[name]]
            start += self.graph.nodes[name]
        return parts, 0.5 * np.sum(rest**2) / len(rest)
