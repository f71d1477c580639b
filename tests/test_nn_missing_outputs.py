"""Networks in torch with targets that are missing: inference and training against the linear theory, autograd
and smaller networks."""

import math

import numpy as np
import pytest
import torch

from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, equilibrium, loss, weight_gradient
from pctheory.nn import (
    BP,
    IPC,
    PC,
    PCN,
    Adam,
    Adaptive,
    ErrorDescent,
    GradientDescent,
    Heun,
    KeepRatio,
    Momentum,
    Newton,
    Stop,
    Switch,
    TrainingSettings,
    infer,
    train,
)
from pctheory.nn.training import Run

claim = pytest.mark.claim("missing-outputs")

LAST = {
    "number": 2.0,
    "vector": np.linspace(0.5, 2.0, 3),
    "matrix": np.diag([1.0, 1.5, 2.0]) + 0.3 * np.ones((3, 3)),
}
EXACT = [
    Newton(),
    Adaptive(1e-12, max_passes=60),
    ErrorDescent(0.1),
    GradientDescent(0.1),
]
METHODS = [GradientDescent(0.1), Momentum(0.05), Adam(0.05), Heun(0.5)]


def network(last="number", *, biases=True, seed=1):
    rng = np.random.default_rng(seed)
    widths = (3, 4, 4, 3)
    return LinearPCN.random(widths, rng=seed, precisions=[1.5, 0.8, LAST[last]]).replace(
        biases=[0.3 * rng.standard_normal(n) for n in widths[1:]] if biases else None
    )


def samples(seed=0, size=7, outputs=3):
    """Part of the targets missing, NaN there: the first sample complete, the last without any target."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((size, 3)), rng.standard_normal((size, outputs))
    observed = rng.random(y.shape) < 0.6
    observed[0], observed[-1] = True, False
    return Data(x, np.where(observed, y, np.nan), observed)


def settings(rule, size, steps=1, **more):
    return TrainingSettings(
        rule, optimiser="SGD", **{"learning_rate": 1.0, **more}, batch_size=size, steps=steps
    )


def step_of(net, data, rule, **more):
    """The gradient that one step of plain gradient descent with rate 1 has followed, weights then biases."""
    model = PCN.from_linear(net, **more)
    before = [p.detach().clone() for p in model.parameters()]
    train(model, data, settings(rule, data.num_samples))
    return [(a - b.detach()).numpy() for a, b in zip(before, model.parameters(), strict=True)]


@claim
@pytest.mark.parametrize("method", EXACT, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("last", LAST)
def test_exact_inference_trains_along_the_gradient_of_the_equilibrated_energy(method, last):
    net, data = network(last), samples()
    stop = Stop() if isinstance(method, Adaptive) else Stop(num_steps=3000, tolerance=1e-12)
    found = step_of(net, data, PC(method, stop=stop))
    exact = EquilibratedEnergy(data).gradient(net)
    local = weight_gradient(net, equilibrium(net, data).activities)
    for ours, theirs, other in zip(found, exact, local, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
        np.testing.assert_allclose(ours, other, atol=1e-9)


@claim
@pytest.mark.parametrize("last", LAST)
def test_backpropagation_trains_along_the_gradient_of_the_loss_of_the_observed_targets(last):
    net, data = network(last), samples()
    for ours, theirs in zip(step_of(net, data, BP()), MSELoss(data).gradient(net), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-13)
    model = PCN.from_linear(net)
    ours = model.loss(data.x, data.y, data.observed).item()
    assert ours == pytest.approx(float(loss(net, data)), rel=1e-13)


@pytest.mark.parametrize("last", LAST)
def test_the_first_step_of_incremental_learning_is_that_of_backpropagation_in_the_last_layer(last):
    net, data = network(last), samples()
    found = step_of(net, data, IPC(GradientDescent(0.1), stop=Stop(num_steps=1)))
    exact = MSELoss(data).gradient(net)
    for layer, (ours, theirs) in enumerate(zip(found, exact, strict=True), start=1):
        np.testing.assert_allclose(ours, theirs if layer % 3 == 0 else 0.0, atol=1e-13)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("last", LAST)
def test_the_loss_of_a_nonlinear_network_marginalises_what_is_missing(activation, last):
    data = samples()
    model = PCN.from_linear(network(last), activation=activation)
    precision = LAST[last] * np.eye(3) if last != "matrix" else LAST[last]
    variance = torch.tensor(np.linalg.inv(precision))
    total, prediction = 0.0, model(data.x)
    for i, marks in enumerate(data.observed):
        o = np.flatnonzero(marks)
        residual = torch.tensor(data.y[i, o]) - prediction[i, o]
        total = total + residual @ torch.linalg.solve(variance[np.ix_(o, o)], residual)
    expected = total / (2 * data.num_samples)
    nan = np.where(data.observed, data.y, np.nan)
    value = model.loss(data.x, nan, data.observed)
    assert value.item() == pytest.approx(expected.item(), rel=1e-13)
    exact = torch.autograd.grad(expected, list(model.parameters()))
    automatic = torch.autograd.grad(value, list(model.parameters()))
    for ours, theirs, other in zip(
        model.loss_gradient(data.x, nan, data.observed), exact, automatic, strict=True
    ):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-13)
        np.testing.assert_allclose(other.numpy(), theirs.numpy(), atol=1e-13)


@pytest.mark.parametrize("method", [*EXACT[:3], *METHODS], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("last", LAST)
def test_inference_by_any_method_is_that_of_the_network_without_the_missing_outputs(method, activation, last):
    """One pattern O for all samples: the rows O of the last layer, with the precision of their marginal."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    o = np.array([0, 2])
    net = network(last)
    variance = np.linalg.inv(LAST[last] * np.eye(3) if last != "matrix" else LAST[last])
    rest = LinearPCN(
        [*net.weights[:-1], net.weights[-1][o]],
        biases=[*net.biases[:-1], net.biases[-1][o]],
        precisions=[1.5, 0.8, np.linalg.inv(variance[np.ix_(o, o)])],
    )
    stop = Stop(num_steps=3 if isinstance(method, Adaptive) else 6)
    part = infer(PCN.from_linear(rest, activation=activation), x, y[:, o], method, stop=stop, record=1)
    marks = np.zeros((5, 3), dtype=bool)
    marks[:, o] = True
    seen = []
    found = infer(
        PCN.from_linear(net, activation=activation),
        x,
        np.where(marks, y, np.nan),
        method,
        observed=marks,
        stop=stop,
        record=1,
        callback=lambda step, z: seen.append([a.clone() for a in z]),
    )
    np.testing.assert_allclose(found.energies, part.energies, rtol=1e-10)
    for ours, theirs in zip(found.activities[:-1], part.activities[:-1], strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-10)
    for ours, theirs in zip(found.errors[:-1], part.errors[:-1], strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-10)
    # the free output is its prediction and what the observed ones say of its noise
    error = part.errors[-1].numpy() @ np.linalg.solve(variance[np.ix_(o, o)], variance[o])
    np.testing.assert_allclose(found.errors[-1].numpy(), error, atol=1e-10)
    model = PCN.from_linear(net, activation=activation)
    np.testing.assert_array_equal(found.activities[-1].numpy()[:, o], y[:, o])
    assert float(model.energy(found.activities).detach()) == pytest.approx(found.energy, rel=1e-10)
    for z in (*seen, found.activities):
        left = (z[-1] - model.prediction(3, z[-2])).detach().numpy()
        filled = left[:, o] @ np.linalg.solve(variance[np.ix_(o, o)], variance[o])
        np.testing.assert_allclose(left, filled, atol=1e-12)


@claim
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("last", LAST)
def test_outputs_that_move_as_activities_end_where_they_are_filled_in(last):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    marks = np.array([True, False, True])
    own, stop = PCN.from_linear(network(last), activation="tanh"), Stop(num_steps=4000, tolerance=1e-12)
    free = infer(own, x, y, clamp=[True, False, False, marks], stop=stop)
    found = infer(own, x, y, observed=np.tile(marks, (5, 1)), stop=stop)
    assert (free.converged, found.converged) == (True, True)
    for ours, theirs in zip(found.activities, free.activities, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-9)


RULES = [
    PC(Newton(), stop=Stop(tolerance=1e-10)),
    PC(GradientDescent(0.2), stop=Stop(num_steps=12), precision=KeepRatio()),
    PC(Adaptive(1e-3)),
    PC("momentum", start="zeros"),
    IPC(GradientDescent(0.2), stop=Stop(num_steps=4)),
    BP(),
    Switch(PC("error"), "bp", below=0.9),
]


def rule_name(rule):
    return f"{type(rule).__name__}-{type(getattr(rule, 'method', rule)).__name__}"


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_a_run_with_one_pattern_is_that_of_the_network_without_the_missing_outputs(rule):
    rng = np.random.default_rng(6)
    x, y, o = rng.standard_normal((12, 3)), rng.standard_normal((12, 3)), np.array([0, 2])
    marks = np.zeros((12, 3), dtype=bool)
    marks[:, o] = True
    net = network("vector")
    rest = LinearPCN(
        [*net.weights[:-1], net.weights[-1][o]],
        biases=[*net.biases[:-1], net.biases[-1][o]],
        precisions=[1.5, 0.8, LAST["vector"][o]],
    )
    whole, part = (PCN.from_linear(n, activation="tanh") for n in (net, rest))
    data, alone = Data(x, np.where(marks, y, np.nan), marks), Data(x, y[:, o])
    before = part.loss(x, y[:, o]).item()
    options = settings(rule, 6, 8, learning_rate=0.1, metrics_every=2)
    found, expected = train(whole, data, options, test=data), train(part, alone, options, test=alone)
    for ours, theirs in zip(whole.parameters(), part.parameters(), strict=True):
        own = ours[o] if ours.shape != theirs.shape else ours
        np.testing.assert_allclose(own.detach().numpy(), theirs.detach().numpy(), atol=1e-9)
    np.testing.assert_array_equal(found.weights[-1][1], net.weights[-1][1])
    for name in ("loss", "energy"):
        np.testing.assert_allclose(found.metrics[name], expected.metrics[name], rtol=1e-9)
    np.testing.assert_allclose(found.evaluations["loss"], expected.evaluations["loss"], rtol=1e-9)
    np.testing.assert_allclose(found.inference["loss"], expected.inference["loss"], rtol=1e-9)
    assert found.evaluations["loss"][-1] < 0.9 * before


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_a_mask_without_missing_targets_gives_the_run_without_a_mask_bit_for_bit(rule):
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((8, 3)), rng.standard_normal((8, 3))
    ends = []
    for data in (Data(x, y), Data(x, y, np.ones((8, 3), dtype=bool))):
        model = PCN.from_linear(network(), activation="tanh")
        result = train(model, data, settings(rule, 4, 6, learning_rate=0.05, metrics_every=1), test=data)
        ends.append((result, *model.parameters()))
    first, second = ends[0][0], ends[1][0]
    for name in first.metrics:
        np.testing.assert_array_equal(first.metrics[name], second.metrics[name])
    for name in first.evaluations:
        np.testing.assert_array_equal(first.evaluations[name], second.evaluations[name])
    assert all(torch.equal(a, b) for a, b in zip(ends[0][1:], ends[1][1:], strict=True))


@pytest.mark.parametrize("rule", RULES[:1] + RULES[2:3] + RULES[5:6], ids=rule_name)
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_a_sample_without_any_target_only_counts_in_the_mean(rule, activation):
    net, data = network(), samples()
    rest = data.take(np.arange(data.num_samples - 1))
    found, without = (step_of(net, d, rule, activation=activation) for d in (data, rest))
    share = rest.num_samples / data.num_samples
    for ours, theirs in zip(found, without, strict=True):
        np.testing.assert_allclose(ours, share * theirs, atol=1e-9 if rule is not RULES[2] else 1e-3)
    nothing = Data(data.x, data.y, np.zeros_like(data.observed))
    left = step_of(net, nothing, rule, activation=activation)
    assert max(np.max(np.abs(g)) for g in left) <= 1e-15


@claim
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("rule", [PC("adaptive"), BP()], ids=rule_name)
def test_training_on_half_the_entries_of_a_low_rank_map_finds_the_others(rule):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((40, 4))
    y = x @ rng.standard_normal((4, 1)) @ rng.standard_normal((1, 6))
    seen = rng.random(y.shape) < 0.5
    seen[:, 0] ^= seen.all(1) | ~seen.any(1)
    model = PCN((4, 1, 6), init=0.5, rng=0, dtype=torch.float64)
    result = train(
        model,
        Data(x, np.where(seen, y, np.nan), seen),
        settings(rule, 40, 250, learning_rate=0.3),
        test=Data(x, y, ~seen),
    )
    assert float(result.metrics["loss"][-1]) < 1e-12
    assert float(result.evaluations["loss"][-1]) < 1e-11
    assert math.isnan(result.evaluations["accuracy"][-1])  # no sample is complete
    assert "accuracy" not in repr(result)


def test_accuracy_counts_the_samples_without_missing_targets():
    labels = np.eye(2)[[0, 1, 1, 0]]
    marks = np.array([[True, True], [True, True], [True, False], [False, False]])
    model = PCN.from_weights([np.array([[1.0], [-1.0]])])
    data = Data(np.array([[1.0], [1.0], [-1.0], [1.0]]), labels, marks)
    result = train(model, data, settings("bp", 4, 1, learning_rate=1e-9, metrics_every=1), test=data)
    assert result.metrics["batch_accuracy"].tolist() == [0.5, 0.5]
    assert result.evaluations["accuracy"].tolist() == [0.5]


def test_batches_carry_their_rows_of_the_mask_and_a_run_resumes_with_the_same_mask_only(tmp_path):
    data = samples(size=12)
    run = Run(PCN.from_linear(network()), data, settings("bp", 5, 4))
    for step in range(4):
        x, y, marks = run.batch(step)
        rows = [int(np.flatnonzero((data.x == own).all(1))[0]) for own in x.numpy()]
        np.testing.assert_array_equal(marks.numpy(), data.observed[rows])
        np.testing.assert_array_equal(y.numpy(), data.y[rows])
    rule, path = PC("newton"), tmp_path / "run.pt"
    whole, parts = PCN.from_linear(network()), PCN.from_linear(network())
    train(whole, data, settings(rule, 5, 6, learning_rate=0.1))
    train(parts, data, settings(rule, 5, 3, learning_rate=0.1), checkpoint=path)
    parts = PCN.from_linear(network())
    train(parts, data, settings(rule, 5, 6, learning_rate=0.1), checkpoint=path)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))
    marks = data.observed.copy()
    marks[-1, 0] = True
    with pytest.raises(ValueError, match="whose data differ"):
        train(
            PCN.from_linear(network()),
            Data(data.x, data.y, marks),
            settings(rule, 5, 6, learning_rate=0.1),
            checkpoint=path,
        )


def model(**more):
    return PCN.from_weights([[[1.0], [2.0]]], **more)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda: train(
                model(output="cross-entropy"),
                Data([[1.0]], [[1.0, 0.0]], [[True, False]]),
                settings("bp", 1),
            ),
            "`observed` must be True everywhere with a cross-entropy output.*Got 1 missing targets",
        ),
        (
            lambda: infer(model(output="cross-entropy"), [[1.0]], [[1.0, 0.0]], observed=[[True, False]]),
            "`observed` must be True everywhere with a cross-entropy output.*Got 1 missing targets",
        ),
        (
            lambda: model().loss([[1.0]], [[1.0, 0.0]], [True, False]),
            r"`observed` must be booleans of the shape of y, \(1, 2\). Got an array of shape \(2,\)",
        ),
        (
            lambda: model().loss_gradient([[1.0]], [[1.0, 0.0]], [[1.0, 0.0]]),
            "`observed` must be booleans of the shape of y.*dtype torch.float",
        ),
        (lambda: model().loss([[1.0]], [[np.nan, 0.0]], [[True, False]]), "`y` must be finite"),
        (lambda: infer(model(), [[1.0]], 1.0, observed=[[True, False]]), "`observed` must be booleans of"),
        (lambda: infer(model(), None, [[1.0, 0.0]], observed=[[True, False]]), "`x` must be given"),
        (lambda: infer(model(), [[1.0]], None, observed=[[True, False]]), "`y` must be given"),
    ],
)
def test_what_has_no_meaning_is_refused_in_one_sentence(use, message):
    with pytest.raises(ValueError, match=message):
        use()


def test_a_complete_mask_is_none_with_a_cross_entropy_output_too():
    own = model(output="cross-entropy")
    full = own.loss([[1.0]], [[1.0, 0.0]], [[True, True]])
    assert torch.equal(full, own.loss([[1.0]], [[1.0, 0.0]]))
