"""Training in torch: rules, matched scale, checkpoints, and the errors that guard them."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pctheory import Data
from pctheory.nn import (
    BP,
    IPC,
    PC,
    PCN,
    Adaptive,
    GradientDescent,
    KeepRatio,
    Stop,
    Switch,
    TrainingSettings,
    accuracy,
    infer,
    train,
)
from pctheory.nn.training import Run
from pctheory.nn.training import run as training_run

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
        **{"dtype": torch.float64, **options},
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
    """Two hidden units in front of four outputs: the loss stays, so that the errors need not all vanish with
    it.

    By the balance law <|eps_l|^2> = tr(G_l W_l^T - W_{l+1}^T G_{l+1}): a hidden error is at most what
    gradients leave of it.
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


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: PC("hebb"), ValueError, "`method` must be a method such as"),
        (lambda: PC(stop=3), TypeError, "`stop` must be a Stop"),
        (lambda: PC(start="nowhere"), ValueError, "`start` must be one of"),
        (lambda: IPC("newton"), TypeError, "`method` must be GradientDescent, Momentum or Adam for IPC"),
        (lambda: BP(stop=Stop()), TypeError, "argument"),
        (lambda: TrainingSettings(rule=3, steps=1), TypeError, r"`rule` must be PC\(...\), IPC\(...\), BP"),
        (
            lambda: TrainingSettings(optimiser="LBFGS", steps=1),
            ValueError,
            "`optimiser` must step by a given gradient",
        ),
        (lambda: network(dtype=torch.float16), TypeError, "`dtype` must be torch.float32 or torch.float64"),
        (lambda: infer(network().half(), [[0.0] * 6], [[0.0] * 3]), TypeError, "Got torch.float16"),
    ],
)
def test_rules_and_types_are_refused_when_they_are_made(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_name_stands_for_the_rule_with_its_defaults():
    for name, rule in (("pc", PC()), ("ipc", IPC()), ("bp", BP())):
        assert TrainingSettings(rule=name, steps=1) == TrainingSettings(rule=rule, steps=1)


def test_wrong_kinds_are_refused_with_the_rule():
    with pytest.raises(
        TypeError, match=r"`data` must be a pctheory.Data. Got tuple: pass for example Data\(x, y\)"
    ):
        train(network(), (1, 2), SETTINGS)
    with pytest.raises(TypeError, match="`optimiser_options` must be arguments"):
        train(network(), classes(), dataclasses.replace(SETTINGS, optimiser_options={"moment": 1}))


@pytest.mark.parametrize(
    "labels, message",
    [
        ([1, 2], "`labels` must hold one label per sample, shape"),
        (np.zeros((96, 1)), "one row of 3 outputs per sample"),
        (np.eye(4)[np.zeros(96, dtype=int)], "one row of 3 outputs per sample"),
        (np.full(96, 3), "`labels` must be class labels 0..2. Got values from 3 to 3"),
        (np.full(96, -1), "`labels` must be class labels 0..2"),
        (np.full(96, 0.5), "`labels` must be class labels 0..2"),
        (np.full(96, np.nan), "`labels` must be finite"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        accuracy(network(), classes().x, labels)


def test_accuracy_needs_two_outputs():
    with pytest.raises(ValueError, match="`model` must have two or more outputs"):
        accuracy(PCN((2, 1), rng=0), [[1.0, 2.0]], [[1.0]])


# -- exact numbers on a small case ---------------------------------------------------------------------------


def test_a_step_of_sgd_and_its_measurements_are_those_worked_out_by_hand():
    """W = (2, 1), x = 1, y = 4: the loss is 2, its gradient (-2, -4), and a step of 1/4 leads to (2.5, 2)."""
    model = PCN.from_weights([[[2.0]], [[1.0]]])
    settings = TrainingSettings(
        "bp", optimiser="SGD", learning_rate=0.25, batch_size=1, steps=1, metrics_every=1
    )
    result = train(model, Data([[1.0]], [[4.0]]), settings, test=Data([[1.0]], [[5.5]]))
    assert result.metrics["step"].tolist() == [0, 1]
    assert result.metrics["loss"].tolist() == [2.0, 0.5]
    assert result.metrics["energy"].tolist() == [2.0, 0.5]
    assert result.metrics["weight_norms"].tolist() == [[2.0, 1.0], [2.5, 2.0]]
    assert result.metrics["weight_change"].tolist() == [[0.0, 0.0], [0.25, 1.0]]
    assert (result.evaluations["step"].tolist(), result.evaluations["loss"].tolist()) == ([1], [0.125])
    assert [w.item() for w in result.weights] == [2.5, 2.0]


@pytest.mark.parametrize("rule", RULES)
def test_a_run_of_no_steps_measures_where_it_stands(rule):
    settings = dataclasses.replace(SETTINGS, rule=RULES[rule], epochs=None, steps=0)
    model, start = network(), network()
    result = train(model, classes(), settings, test=classes(30, seed=1))
    assert result.num_steps == 0
    assert result.metrics["step"].tolist() == result.evaluations["step"].tolist() == [0]
    assert np.all(result.metrics["weight_change"] == 0)
    assert all(torch.equal(a, b) for a, b in zip(model.weights, start.weights, strict=True))
    assert "0 steps" in repr(result)


# -- frozen layers, divergence, checkpoints ------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimiser, options",
    [("AdamW", {}), ("AdamW", {"weight_decay": 0.5}), ("SGD", {"weight_decay": 0.5, "momentum": 0.9})],
)
def test_frozen_layers_keep_their_weights_under_weight_decay(optimiser, options):
    model, start = network(), network()
    train(
        model,
        classes(),
        dataclasses.replace(
            SETTINGS, frozen=(1, 3), optimiser=optimiser, optimiser_options=options, epochs=2
        ),
    )
    moved = [not torch.equal(a, b) for a, b in zip(model.weights, start.weights, strict=True)]
    assert moved == [False, True, False, True]
    with pytest.raises(ValueError, match="`frozen` must leave a layer that learns"):
        train(model, classes(), dataclasses.replace(SETTINGS, frozen=(1, 2, 3, 4)))


def test_divergence_is_told_in_its_step_and_leaves_the_last_checkpoint_finite(tmp_path):
    path = tmp_path / "run.pt"
    settings = dataclasses.replace(SETTINGS, rule=BP(), optimiser="SGD", epochs=None, steps=40)
    seen = []

    def overflow(step, model):
        seen.append(step)
        if step == 7:
            with torch.no_grad():
                model.weights[-1].fill_(1e200)

    with pytest.raises(
        ValueError, match=r"training to stay finite. Got NaN or infinite weights W_\d in step 8"
    ):
        train(network(), classes(), settings, checkpoint=path, checkpoint_every=1, callback=overflow)
    assert seen[-1] == 7
    kept = torch.load(path, weights_only=True)
    assert kept["step"] == 7
    assert all(bool(torch.isfinite(w).all()) for w in kept["weights"])


def test_a_loss_that_overflows_is_told_where_it_is_measured():
    settings = dataclasses.replace(SETTINGS, rule=BP(), optimiser="SGD", learning_rate=1e200, metrics_every=1)
    with pytest.raises(ValueError, match="`learning_rate` must be small enough for training to stay finite"):
        train(network(), classes(), settings)


def test_newton_inference_that_breaks_down_in_training_says_so_and_names_the_step():
    """1 + 1e20 is 1e20: of the two outputs' equations one is left."""
    model = PCN.from_weights([[[1.0]], [[1e10], [1e10]]])
    data = Data([[1.0]], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="Got a singular linear system after 0 steps of Newton: scale the w"):
        infer(model, data.x, data.y, "newton")
    settings = TrainingSettings(PC("newton"), batch_size=1, steps=3)
    with pytest.raises(ValueError, match="training to stay finite. In step 1 inference does not"):
        train(model, data, settings)


def test_a_finished_run_goes_on_to_the_result_of_the_longer_one(tmp_path):
    data, test, path = classes(), classes(30, seed=1), tmp_path / "run.pt"
    short = dataclasses.replace(SETTINGS, epochs=None, steps=10, evaluate_every=4)
    longer = dataclasses.replace(short, steps=20)
    whole = train(network(), data, longer, test=test)
    first = train(network(), data, short, test=test, checkpoint=path)
    again = train(network(), data, short, test=test, checkpoint=path)
    assert again.evaluations["step"].tolist() == first.evaluations["step"].tolist() == [4, 8, 10]
    on = train(network(), data, longer, test=test, checkpoint=path)
    for key in whole.metrics:
        assert np.array_equal(whole.metrics[key], on.metrics[key])
    for key in whole.evaluations:
        assert np.array_equal(whole.evaluations[key], on.evaluations[key])
    assert all(np.array_equal(a, b) for a, b in zip(whole.weights, on.weights, strict=True))
    with pytest.raises(ValueError, match=r"what the checkpoint run.pt has done, 20 steps. Got 10"):
        train(network(), data, short, test=test, checkpoint=path)


def test_a_finished_run_that_is_resumed_with_test_data_evaluates_them(tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=None, steps=3)
    data, test, path = classes(), classes(30, seed=1), tmp_path / "run.pt"
    train(network(), data, settings, checkpoint=path)
    model = network()
    result = train(model, data, settings, test=test, checkpoint=path)
    assert result.evaluations["step"].tolist() == [3]
    assert result.evaluations["accuracy"][0] == accuracy(model, test.x, test.y)


def test_a_checkpoint_of_another_run_names_what_differs(tmp_path):
    path = tmp_path / "run.pt"
    settings = dataclasses.replace(SETTINGS, epochs=1)
    train(network(), classes(), settings, checkpoint=path)
    runs = {
        "`learning_rate` is 0.05 and not 0.1": (
            network(),
            classes(),
            dataclasses.replace(settings, learning_rate=0.1),
        ),
        r"`rule` is PC\(.* and not BP\(\)": (
            network(),
            classes(),
            dataclasses.replace(settings, rule=BP()),
        ),
        "data differ from": (network(), classes(seed=5), settings),
        "initial weights differ from": (network(seed=1), classes(), settings),
        "architecture and precisions differ": (
            network(precisions=[None, None, None, 2.0]),
            classes(),
            settings,
        ),
    }
    for message, (model, data, run) in runs.items():
        with pytest.raises(ValueError, match=f"`checkpoint` must come from the same settings.*{message}"):
            train(model, data, run, checkpoint=path)


def test_every_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    settings = dataclasses.replace(SETTINGS, epochs=1)
    train(network(), classes(), settings, checkpoint=path)
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 40):
        broken = bytearray(whole)
        broken[place] ^= 1
        path.write_bytes(bytes(broken))
        with pytest.raises(ValueError, match="`checkpoint` must be a file written by `train`"):
            train(network(), classes(), settings, checkpoint=path)


# -- precisions along training, rules in turn, rates and scales of layers ------------------------------------


def test_a_factor_of_the_hidden_precisions_is_the_model_with_these_precisions():
    data = classes(32)
    base = TrainingSettings(optimiser="SGD", learning_rate=0.01, batch_size=32, steps=3)
    one, two = network(), network(precisions=[5.0, 5.0, 5.0, 1.0])
    rule = PC("newton", stop=Stop(20, 1e-8))
    result = train(one, data, dataclasses.replace(base, rule=dataclasses.replace(rule, precision=5.0)))
    train(two, data, dataclasses.replace(base, rule=rule))
    assert all(torch.equal(a, b) for a, b in zip(one.weights, two.weights, strict=True))
    assert result.inference["precision"].tolist() == [5.0] * 3
    assert one.precisions == (1.0, 1.0, 1.0, 1.0)


def small_start(init=0.12):
    return PCN((6, 8, 8, 8, 8, 3), activation="tanh", init=init, rng=1, dtype=torch.float64)


@pytest.mark.parametrize("rate_power, least", [(0.0, 1.0), (1.0, 1.1)])
def test_the_precision_follows_the_ratio_of_loss_and_energy_and_the_rate_the_precision(rate_power, least):
    data, seen = classes(64), []
    keep = KeepRatio(1.2, factor=1.25, first=2.0, least=least, rate_power=rate_power)
    settings = TrainingSettings(
        PC(Adaptive(0.01), precision=keep), optimiser="SGD", learning_rate=0.5, batch_size=64, steps=120
    )
    run = Run(small_start(), data, settings)
    for _ in range(settings.steps):
        before = [w.detach().clone() for w in run.model.weights]
        precision, rate = run.learner.precision, run.learner.rate
        run.advance()
        x, y, _ = run.batch(run.step - 1)
        after = [w.detach().clone() for w in run.model.weights]
        with torch.no_grad():
            for weight, old in zip(run.model.weights, before, strict=True):
                weight.copy_(old)
            twin = PCN.from_weights(
                before, activation="tanh", precisions=[precision] * 4 + [1.0], dtype=torch.float64
            )
            ratio = float(twin.loss(x, y)) / infer(twin, x, y, "newton", stop=Stop(50, 1e-9)).energy
            for weight, new in zip(run.model.weights, after, strict=True):
                weight.copy_(new)
        if abs(ratio - 1.2) > 0.01:
            factor = 1.25 if ratio > 1.2 else 1 / 1.25
            assert run.learner.precision == pytest.approx(max(precision * factor, least))
        assert rate == pytest.approx((2.0 / precision) ** rate_power)
        assert run.optimiser.param_groups[0]["lr"] == pytest.approx(0.5 * rate)
        seen.append(precision)
    assert min(seen) == least  # never below
    assert max(seen) > 2.0
    assert run.result().inference["precision"] == pytest.approx(seen)


def test_backprop_takes_over_when_the_loss_has_fallen_and_at_its_own_rate():
    data = classes(64)
    rule = Switch(PC(Adaptive(0.05)), BP(), below=0.8, rate=0.25)
    settings = TrainingSettings(rule, optimiser="SGD", learning_rate=1.0, batch_size=64, steps=150)
    run = Run(small_start(), data, settings)
    rates = []
    for _ in range(settings.steps):
        run.advance()
        rates.append(run.optimiser.param_groups[0]["lr"])
    result = run.result()
    precision, loss = result.inference["precision"], result.inference["loss"]
    (later,) = np.nonzero(np.isinf(precision))
    start = int(later[0])
    assert 10 < start < 140
    assert np.isinf(precision[start:]).all()
    assert set(rates[:start]) == {1.0}
    assert set(rates[start:]) == {0.25}
    mean = loss[0]
    for value in loss[:start]:
        assert mean >= 0.8 * loss[0]
        mean = 0.9 * mean + 0.1 * value
    assert mean < 0.8 * loss[0]


def test_pc_then_backprop_leaves_a_saddle_that_holds_backprop():
    data, losses = classes(64), {}
    for name, rule in (("bp", BP()), ("both", Switch(PC(Adaptive(0.05)), BP(), below=0.5, rate=0.2))):
        settings = TrainingSettings(rule, optimiser="SGD", learning_rate=1.0, batch_size=64, steps=200)
        losses[name] = train(small_start(0.04), data, settings).metrics["loss"][-1]
    assert losses["both"] < 0.5 * losses["bp"]


@pytest.mark.parametrize(
    "rule",
    [
        PC(Adaptive(0.05), precision=KeepRatio(1.1)),
        Switch(PC(Adaptive(0.05), precision=KeepRatio(1.1)), "bp", below=0.9, rate=0.5),
    ],
)
def test_a_rule_with_a_memory_resumes_to_the_identical_result(rule, tmp_path):
    data = classes(64)
    settings = TrainingSettings(
        rule, learning_rate=0.01, gradient_scaling="layer", batch_size=32, steps=30, metrics_every=10
    )
    whole = train(small_start(), data, settings)
    path = tmp_path / "run.pt"
    train(small_start(), data, dataclasses.replace(settings, steps=17), checkpoint=path)
    pieces = train(small_start(), data, settings, checkpoint=path)
    assert all(np.array_equal(a, b) for a, b in zip(whole.weights, pieces.weights, strict=True))
    for key, values in whole.inference.items():
        assert np.array_equal(values, pieces.inference[key], equal_nan=True)


def test_with_gradients_scaled_by_layer_adam_does_not_see_a_factor_of_a_layer():
    data = classes(64)
    settings = TrainingSettings(
        PC(GradientDescent(1e-3), stop=Stop(4)), learning_rate=0.01, batch_size=32, steps=20
    )
    plain, scaled = network(), network()
    train(plain, data, settings)
    train(scaled, data, dataclasses.replace(settings, gradient_scaling="layer"))
    start = network()
    moved = [
        [
            float((w - w0).detach().norm() / w0.detach().norm())
            for w, w0 in zip(m.weights, start.weights, strict=True)
        ]
        for m in (plain, scaled)
    ]
    assert moved[0][0] < 0.2 * moved[1][0]  # its gradient, of 1e-10, is far below Adam's epsilon
    assert min(moved[1]) > 0.3 * max(moved[1])
    tiny = network()
    options = {"eps": 1e-300}
    train(tiny, data, dataclasses.replace(settings, optimiser_options=options))
    for a, b in zip(scaled.weights, tiny.weights, strict=True):
        assert float((a - b).detach().abs().max()) < 1e-4


@pytest.mark.parametrize("scaling", ["none", "layer"])
def test_a_gradient_that_is_not_finite_is_refused_with_or_without_scaling(scaling):
    settings = TrainingSettings("bp", optimiser="SGD", gradient_scaling=scaling, batch_size=32, steps=1)
    model = PCN((6, 8, 8, 3), activation="relu", init=1e200, rng=0, dtype=torch.float64)
    with pytest.raises(ValueError, match="`learning_rate` must be small enough"):
        train(model, classes(32), settings)


def test_under_adam_the_table_scales_the_hidden_layers_alone():
    data = classes(32)
    base = TrainingSettings(rule="bp", learning_rate=0.01, batch_size=32, steps=1)
    start, model = network(), network()
    train(model, data, dataclasses.replace(base, learning_rate_scaling="table"))
    moved = [
        float((w - w0).detach().abs().median()) for w, w0 in zip(model.weights, start.weights, strict=True)
    ]
    hidden = 0.01 / (8 * 4) ** 0.5  # Adam's first step moves every weight by its rate
    assert moved == pytest.approx([0.01, hidden, hidden, 0.01], rel=1e-3)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: PC(precision=0.0), ValueError, "`precision` must be greater than 0"),
        (lambda: IPC(precision=KeepRatio()), TypeError, "`precision` must be a number for IPC"),
        (lambda: KeepRatio(1.0), ValueError, "`target` must be greater than 1"),
        (lambda: KeepRatio(factor=0.9), ValueError, "`factor` must be greater than 1"),
        (lambda: KeepRatio(first=0.5), ValueError, "`first` must be at least `least`"),
        (lambda: Switch("pc", "bp", below=1.5), ValueError, "`below` must be a share"),
        (lambda: Switch(Switch("pc", "bp", below=0.5), "bp", below=0.5), TypeError, "no Switch"),
        (lambda: Switch("pc", "hebb", below=0.5), ValueError, "`then` must be PC"),
        (
            lambda: dataclasses.replace(SETTINGS, gradient_scaling="row"),
            ValueError,
            "`gradient_scaling` must",
        ),
    ],
)
def test_bad_rules_of_precision_and_turn_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_displacements_that_would_be_denormal_are_left_out_and_change_no_weight(monkeypatch):
    data, depth = classes(32), 40
    rule = PC(GradientDescent(0.05), stop=Stop(depth))
    settings = TrainingSettings(rule, learning_rate=0.01, batch_size=32, steps=3)

    def trained(least):
        monkeypatch.setattr(training_run, "DENORMAL", least)
        model = PCN(
            (6, *[8] * depth, 3),
            activation="relu",
            parameterisation="mupc",
            skips=True,
            rng=0,
            dtype=torch.float32,
        )
        run = Run(model, data, settings)
        state = run.learner._rest(run.batch(0), np.random.default_rng(0))[1]
        moved = torch.cat(state.displacement.moved).abs().amax((1, 2))
        for _ in range(3):
            run.advance()
        return moved, model.weights

    (every, exact), (some, weights) = trained(0.0), trained(1e-31)
    assert ((every > 0) & (every < 1e-31)).any()
    assert not ((some > 0) & (some < 1e-31)).any()
    far = some > 1e-22
    torch.testing.assert_close(every[far], some[far], rtol=1e-6, atol=0.0)
    assert all(torch.equal(a, b) for a, b in zip(exact, weights, strict=True))
