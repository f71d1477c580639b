"""One training step of jpc, compiled whole: run by an interpreter that has jpc, a step for each line read."""

# mypy: ignore-errors
import json
import os
import sys
import time

SETTINGS = json.loads(sys.argv[1])
if hasattr(os, "sched_setaffinity"):  # before jax counts the cores
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: SETTINGS["threads"]])

try:
    import equinox
    import jax
    import jpc
    import numpy as np
    import optax
except ImportError:
    sys.exit("no jpc")


def main(settings: dict[str, float]) -> None:
    hidden, batch = settings["hidden"], settings["batch"]
    model = jpc.make_mlp(
        jax.random.PRNGKey(0), 784, settings["width"], hidden + 1, 10, act_fn="relu", param_type="mupc"
    )
    skip = jpc.make_skip_model(hidden + 1)
    inner, outer = optax.sgd(settings["step"] * batch), optax.adam(settings["rate"])  # jpc's energy is a mean
    state = outer.init((equinox.filter(model, equinox.is_array), skip))

    @equinox.filter_jit
    def step(model, state, x, y):
        z = jpc.init_activities_with_ffwd(model=model, input=x, skip_model=skip, param_type="mupc")

        def infer(_, carried):
            z, inner_state = carried
            found = jpc.update_pc_activities(
                params=(model, skip),
                activities=z,
                optim=inner,
                opt_state=inner_state,
                output=y,
                input=x,
                param_type="mupc",
            )
            return found["activities"], found["opt_state"]

        z, _ = jax.lax.fori_loop(0, hidden, infer, (z, inner.init(z)))
        found = jpc.update_pc_params(
            params=(model, skip),
            activities=z,
            optim=outer,
            opt_state=state,
            output=y,
            input=x,
            param_type="mupc",
        )
        return found["model"], found["opt_state"]

    rng = np.random.default_rng(0)
    x = jax.numpy.asarray(rng.standard_normal((batch, 784)), dtype="float32")
    y = jax.numpy.asarray(np.eye(10)[rng.integers(0, 10, batch)], dtype="float32")
    model, state = step(model, state, x, y)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        model, state = jax.block_until_ready(step(model, state, x, y))
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(SETTINGS)
