"""Training in torch: rules, matched scale, checkpoints, and the errors that guard them."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pctheory import Data
from pctheory.nn import BP, IPC, PC, PCN, GradientDescent, Stop, TrainingSettings, accuracy, infer, train

EPS = float(np.finfo(np.float64).eps)


def classes(num_samples=96, seed=0):
    """Three Gaussian clusters in the plane of six inputs."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, num_samples)
    centres = np.random.default_rng(99).standard_normal((3, 6))
    return Data(centres[labels] + 0.2 * rng.standard_normal((num_samples, 6)), np.eye(3)[labels])


def network(output="mse", seed=0, **options):
    return PCN(
        (6, 8, 8, 8, 3),
        activation="tanh",
        parameterisation="mupc",
        skips=True,
        output=output,
        rng=seed,
        dtype=torch.float64,
        **options,
    )


SETTINGS = TrainingSettings(
    PC(GradientDescent(0.2), stop=Stop(12)),
    optimiser="Adam",
    learning_rate=0.05,
    batch_size=32,
    epochs=15,
    metrics_every=5,
)
RULES = {"pc": SETTINGS.rule, "ipc": IPC(GradientDescent(0.2), stop=Stop(12)), "bp": BP()}


@pytest.mark.parametrize("rule", ["pc", "ipc", "bp"])
@pytest.mark.parametrize("output", ["mse", "cross-entropy"])
def test_every_rule_learns_the_classes(rule, output):
    model, data, test = network(output), classes(), classes(60, seed=1)
    result = train(model, data, dataclasses.replace(SETTINGS, rule=RULES[rule]), test=test)
    assert result.metrics["loss"][-1] < 0.4 * result.metrics["loss"][0]
    assert result.evaluations["accuracy"][-1] > 0.9
    assert result.evaluations["accuracy"][-1] == accuracy(model, test.x, test.y)
    assert accuracy(model, test.x, np.argmax(test.y, 1)) == accuracy(model, test.x, test.y)
    assert result.num_steps == 45
    assert result.metrics["step"].tolist() == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]
    assert result.metrics["weight_norms"].shape == (10, 4)
    assert np.all(result.metrics["weight_change"][0] == 0)
    assert np.all(result.metrics["weight_change"][-1] > 0)
    if rule != "ipc":  # its weights move while its activities do
        assert np.all(result.metrics["energy"] <= result.metrics["loss"] + 64 * EPS)


@pytest.mark.claim("matched-scale")
@pytest.mark.parametrize("output", ["mse", "cross-entropy"])
def test_bp_is_sgd_by_autograd_on_the_loss_at_the_energys_scale(output):
    data = classes(32)
    settings = TrainingSettings(rule="bp", optimiser="SGD", learning_rate=0.3, batch_size=32, steps=6)
    model, twin = network(output), network(output)
    train(model, data, settings)
    optimiser = torch.optim.SGD(twin.parameters(), lr=0.3)
    for _ in range(6):
        optimiser.zero_grad()
        twin.loss(data.x, data.y).backward()
        optimiser.step()
    for a, b in zip(model.weights, twin.weights, strict=True):
        assert float((a - b).detach().abs().max()) <= 1e4 * EPS


@pytest.mark.claim("matched-scale")
def test_pc_without_inference_steps_trains_the_last_layer_as_bp_does_and_nothing_else():
    data = classes(32)
    settings = TrainingSettings(PC(stop=Stop(0)), optimiser="SGD", learning_rate=0.1, batch_size=32, steps=1)
    model, twin = network(), network()
    train(model, data, settings)
    train(twin, data, dataclasses.replace(settings, rule="bp"))
    start = network()
    assert all(
        torch.equal(a, b) for a, b in zip(list(model.weights)[:-1], list(start.weights)[:-1], strict=True)
    )
    assert float((model.weights[-1] - twin.weights[-1]).detach().abs().max()) <= 64 * EPS


@pytest.mark.claim("error-reach")
def test_layers_the_error_has_not_reached_do_not_learn():
    data = classes(32)
    settings = dataclasses.replace(SETTINGS, rule=PC(GradientDescent(0.4), stop=Stop(2)), epochs=2)
    model = network()
    result = train(model, data, settings)
    # after two steps the error stands on layer L - 2 = 2, so that W_1 alone has none
    assert result.metrics["weight_change"][-1][0] == 0
    assert np.all(result.metrics["weight_change"][-1][1:] > 0)


@pytest.mark.claim("precision-limits")
def test_a_small_output_precision_makes_the_local_rule_backprops():
    gaps = []
    for precision in (1e-3, 1e-5):
        model = network(precisions=[None, None, None, precision])
        data = classes(16)
        equilibrium = infer(model, data.x, data.y, "newton", stop=Stop(tolerance=1e-12))
        local = model.local_gradient(equilibrium.activities)
        backward = model.loss_gradient(data.x, data.y)
        gaps.append(max(float((a - b).norm() / b.norm()) for a, b in zip(local, backward, strict=True)))
    assert gaps[0] < 1e-2
    assert gaps[1] == pytest.approx(gaps[0] / 100, rel=0.05)  # the error is of first order in the ratio


def at_rest(model, data):
    """Where exact inference ends: mean squares of the errors of all layers, local gradients, energy."""
    found = infer(model, data.x, data.y, "newton", stop=Stop(50, 1e-12))
    assert found.gradient_norms[-1] < 1e-9
    z = found.activities
    with torch.no_grad():
        errors = [
            float((z[l] - model.prediction(l, z[l - 1])).square().sum(1).mean()) for l in range(1, len(z))
        ]
    return errors, [g.detach() for g in model.local_gradient(z)], found.energy


@pytest.mark.claim("balance-law")
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("seed", [0, 3])
def test_no_hidden_error_is_left_where_the_training_of_a_relu_network_ends(seed):
    """Two hidden units in front of four outputs: the loss stays, so that the errors need not all vanish with it.

    By the balance law <|eps_l|^2> = tr(G_l W_l^T - W_{l+1}^T G_{l+1}): a hidden error is at most what gradients leave of it.
    """
    rng = np.random.default_rng(seed)
    data = Data(rng.standard_normal((6, 6)), rng.standard_normal((6, 4)))
    model = PCN((6, 12, 2, 4), activation="relu", init=0.4, rng=rng, dtype=torch.float64)
    settings = TrainingSettings(
        PC("newton", stop=Stop(50, 1e-12)),
        optimiser="SGD",
        optimiser_options={"momentum": 0.9},
        learning_rate=0.3,
        batch_size=6,
        steps=300,
    )

    def law(gradients):
        w = [weight.detach() for weight in model.weights]
        return [float((gradients[l] * w[l]).sum() - (gradients[l + 1] * w[l + 1]).sum()) for l in range(2)]

    errors, gradients, energy = at_rest(model, data)
    assert (
        min(errors[:2]) > 0.01 * errors[2]
    )  # before training hidden errors are there, as large as the law says
    assert errors[:2] == pytest.approx(law(gradients), rel=1e-8)
    assert energy < 0.99 * float(model.loss(data.x, data.y).detach())

    train(model, data, settings)
    errors, gradients, energy = at_rest(model, data)
    size = max(float(w.detach().norm()) for w in model.weights)
    slope = max(float(g.norm()) for g in gradients)
    assert slope < 1e-7
    assert max(errors[:2]) <= 2 * size * slope
    assert max(errors[:2]) < 1e-14 * errors[2]
    assert energy == pytest.approx(float(model.loss(data.x, data.y).detach()), rel=1e-13)
    assert energy > 0.1
    assert (
        max(float(g.norm()) for g in model.loss_gradient(data.x, data.y)) < 1e-5
    )  # the loss is critical, too


class Killed(Exception):
    pass


@pytest.mark.parametrize("rule", ["pc", "ipc", "bp"])
def test_a_killed_run_resumes_to_the_identical_result(rule, tmp_path):
    data, test = classes(), classes(30, seed=1)
    step = {"stop": Stop(4)}
    chosen = {
        "pc": PC(GradientDescent(0.3), start="random", **step),
        "ipc": IPC(GradientDescent(0.3), **step),
        "bp": BP(),
    }[rule]
    settings = dataclasses.replace(SETTINGS, rule=chosen, epochs=6, evaluate_every=4)
    whole = train(network(), data, settings, test=test)

    def kill(step, model):
        if step == 11:
            raise Killed

    path = tmp_path / "run.pt"
    with pytest.raises(Killed):
        train(network(), data, settings, test=test, checkpoint=path, checkpoint_every=5, callback=kill)
    seen = []
    resumed = train(
        network(), data, settings, test=test, checkpoint=path, callback=lambda step, model: seen.append(step)
    )
    assert seen[0] == 11  # it went on after step 10
    for key in whole.metrics:
        assert np.array_equal(whole.metrics[key], resumed.metrics[key])
    for key in whole.evaluations:
        assert np.array_equal(whole.evaluations[key], resumed.evaluations[key])
    assert all(np.array_equal(a, b) for a, b in zip(whole.weights, resumed.weights, strict=True))
    again = train(network(), data, settings, test=test, checkpoint=path)  # finished: nothing is done twice
    assert np.array_equal(again.metrics["loss"], whole.metrics["loss"])
    assert again.seconds == resumed.seconds
    with pytest.raises(ValueError, match="`checkpoint` must come from the same settings"):
        train(network(seed=1), data, settings, test=test, checkpoint=path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="`checkpoint` must be a file written by `train`"):
        train(network(), data, settings, test=test, checkpoint=path)


def test_the_seed_alone_decides_the_order_of_the_samples():
    data = classes()
    same = [train(network(), data, SETTINGS).metrics["loss"] for _ in range(2)]
    other = train(network(), data, dataclasses.replace(SETTINGS, seed=1)).metrics["loss"]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], other)


def test_frozen_layers_keep_their_weights():
    model, start = network(), network()
    train(model, classes(), dataclasses.replace(SETTINGS, frozen=(1, 3)))
    moved = [not torch.equal(a, b) for a, b in zip(model.weights, start.weights, strict=True)]
    assert moved == [False, True, False, True]


def test_the_table_scales_the_learning_rate():
    data = classes(32)
    base = TrainingSettings(rule="bp", optimiser="SGD", learning_rate=0.01, batch_size=32, steps=1)
    model, twin = network(gamma=2.0), network(gamma=2.0)
    train(model, data, dataclasses.replace(base, learning_rate_scaling="table"))
    train(twin, data, dataclasses.replace(base, learning_rate=0.01 * 4 * 8))  # gamma^2 N
    assert all(torch.equal(a, b) for a, b in zip(model.weights, twin.weights, strict=True))
    with pytest.raises(ValueError, match="`learning_rate_scaling` must be 'none'"):
        train(
            PCN.from_weights([np.eye(3, 6)]),
            data,
            dataclasses.replace(base, learning_rate_scaling="table"),
        )


@pytest.mark.parametrize("optimiser", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_any_torch_optimiser_lowers_the_loss(optimiser):
    settings = dataclasses.replace(SETTINGS, optimiser=optimiser, learning_rate=0.02, batch_size=96)
    loss = train(network(), classes(), settings).metrics["loss"]
    assert loss[-1] < loss[0]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"rule": "hebb"}, "`rule` must be PC"),
        ({"optimiser": "Adams"}, "`optimiser` must be a class of torch.optim"),
        ({"learning_rate": 0.0}, "`learning_rate` must be greater than 0"),
        ({"steps": 5}, "`epochs` or `steps` must be given"),
        ({"batch_size": 97}, "`batch_size` must not exceed"),
        ({"frozen": (5,)}, "`frozen` must list layers 1..4"),
    ],
)
def test_bad_settings_are_refused_with_the_rule(changes, message):
    with pytest.raises(ValueError, match=message):
        train(network(), classes(), dataclasses.replace(SETTINGS, **changes))


def test_wrong_kinds_and_diverging_runs_are_refused_with_the_rule():
    with pytest.raises(TypeError, match="`data` must be a Data"):
        train(network(), (1, 2), SETTINGS)
    with pytest.raises(TypeError, match="`optimiser_options` must be arguments"):
        train(network(), classes(), dataclasses.replace(SETTINGS, optimiser_options={"moment": 1}))
    with pytest.raises(ValueError, match="`labels` must hold one label per sample"):
        accuracy(network(), classes().x, [1, 2])
    settings = dataclasses.replace(SETTINGS, rule="bp", optimiser="SGD", learning_rate=1e200, metrics_every=1)
    with pytest.raises(ValueError, match="`learning_rate` must be small enough"):
        train(network(), classes(), settings)
