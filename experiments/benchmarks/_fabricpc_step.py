"""One training step of FabricPC, compiled whole: run by an interpreter that has it, a step for each line.

Its residual layer predicts relu(W z) + z where ours predicts W relu(z) + z: as many products of the same
matrices, of a network that is not ours.
"""

# mypy: ignore-errors
import json
import os
import sys
import time
from itertools import pairwise

SETTINGS = json.loads(sys.argv[1])
if hasattr(os, "sched_setaffinity"):  # before jax counts the cores
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: SETTINGS["threads"]])

try:
    import jax
    import numpy as np
    import optax
    from fabricpc.core.activations import ReLUActivation
    from fabricpc.core.inference import InferenceSGD
    from fabricpc.core.initializers import MuPCInitializer
    from fabricpc.core.mupc import MuPCConfig
    from fabricpc.core.topology import Edge
    from fabricpc.graph_assembly import TaskMap, graph
    from fabricpc.graph_initialization import initialize_params
    from fabricpc.nodes import Linear, LinearResidual
    from fabricpc.training.trainer import make_train_step
except ImportError:
    sys.exit("no FabricPC")


def main(settings: dict[str, float]) -> None:
    hidden, batch, key = settings["hidden"], settings["batch"], jax.random.PRNGKey(0)
    plain = {"use_bias": False, "weight_init": MuPCInitializer()}
    nodes = [Linear(shape=(784,), name="x")]
    nodes.append(Linear(shape=(settings["width"],), name="h1", **plain))
    for layer in range(2, hidden + 1):
        shape = (settings["width"],)
        nodes.append(LinearResidual(shape=shape, name=f"h{layer}", activation=ReLUActivation(), **plain))
    nodes.append(Linear(shape=(10,), name="y", **plain))
    edges = [Edge(source=a, target=b.slot("in")) for a, b in pairwise(nodes)]
    edges += [Edge(source=a, target=b.slot("skip")) for a, b in pairwise(nodes[1:-1])]
    structure = graph(
        nodes=nodes,
        edges=edges,
        task_map=TaskMap(x=nodes[0], y=nodes[-1]),
        inference=InferenceSGD(eta_infer=settings["step"], infer_steps=hidden),
        scaling=MuPCConfig(include_output=True),
    )
    params = initialize_params(structure, key)
    optimiser = optax.adam(settings["rate"])
    state, step = optimiser.init(params), make_train_step(structure, optimiser)
    rng = np.random.default_rng(0)
    x = jax.numpy.asarray(rng.standard_normal((batch, 784)), dtype="float32")
    y = jax.numpy.asarray(np.eye(10)[rng.integers(0, 10, batch)], dtype="float32")
    params, state, *_ = jax.block_until_ready(step(params, state, {"x": x, "y": y}, key))
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        params, state, *_ = jax.block_until_ready(step(params, state, {"x": x, "y": y}, key))
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(SETTINGS)
