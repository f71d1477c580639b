"""Classification against reconstruction, trained: against the closed form, and what each learning rule gives up."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from experiments._classifiers import (
    AutoencoderClassifier,
    GenerativeClassifier,
    TradeoffSettings,
    train_autoencoder,
    train_tradeoff,
)
from pctheory import Data, LinearPCN
from pctheory.inference import clamped_equilibrium
from pctheory.learning import tradeoff_curve
from pctheory.nn import PCN


@pytest.mark.claim("cre-tradeoff")
@pytest.mark.parametrize("weight", [0.1, 0.9])
def test_a_trained_linear_autoencoder_classifier_reaches_the_closed_form(weight, rng):
    x = rng.standard_normal((80, 10)) * np.linspace(2, 0.3, 10)
    y = x[:, -3:] @ rng.standard_normal((3, 3)) + 0.1 * rng.standard_normal((80, 3))
    expected = tradeoff_curve(Data(x, y), 3, [weight]).points[0].loss
    model = AutoencoderClassifier((10, 3), 3, rng=rng)
    reached = train_autoencoder(model, torch.tensor(x), torch.tensor(y), weight, max_iterations=800, steps=20)
    assert -1e-10 < reached / expected - 1 < 1e-6


def test_a_relu_autoencoder_learns(rng):
    x = torch.tensor(rng.standard_normal((60, 6)))
    y = torch.nn.functional.one_hot(x.argmax(1), 6).to(torch.float64)
    model = AutoencoderClassifier((6, 12, 3), 6, activation="relu", rng=rng)
    before = [float(e.detach()) for e in model.errors(x, y)]
    after = train_autoencoder(model, x, y, 0.5, steps=100, max_iterations=30, learning_rate=1e-2)
    assert after < 0.6 * sum(before) / 2


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("labelled", [False, True])
def test_settling_a_linear_generative_classifier_is_the_clamped_equilibrium(bidirectional, labelled, rng):
    net = LinearPCN.random((3, 5, 4, 7), rng=rng)
    reverse = LinearPCN.random((7, 4, 5, 3), rng=rng) if bidirectional else None
    model = GenerativeClassifier(
        PCN.from_linear(net), None if reverse is None else PCN.from_linear(reverse), prior=0.3
    )
    images, labels = torch.tensor(rng.standard_normal((6, 7))), torch.tensor(rng.standard_normal((6, 3)))
    actual = model.settle(images, labels if labelled else None)
    z = (labels.numpy(), np.zeros((6, 5)), np.zeros((6, 4)), images.numpy())
    expected = clamped_equilibrium(net, z, (labelled, False, False, True), prior=0.3, reverse=reverse)
    for a, b in zip(actual, expected.activities, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, atol=1e-11)


def test_descent_of_a_nonlinear_generative_classifier_is_stable_and_lowers_the_energy(rng):
    model = GenerativeClassifier(
        PCN((3, 8, 10), activation="tanh", init=2.0, rng=rng, dtype=torch.float64), num_steps=200
    )
    images = torch.tensor(rng.standard_normal((5, 10)))
    late = model.settle(images)
    model.num_steps = 5
    early = model.settle(images)
    assert float(model.energy(late).detach()) < float(model.energy(early).detach())


def blobs(rng, classes=3, pixels=12, size=90):
    """Classes that differ along directions of small variance, amid large variance that says nothing of them."""
    labels = np.arange(size) % classes
    nuisance = rng.standard_normal((size, 3)) @ (3 * np.eye(3, pixels))
    signal = np.eye(classes)[labels] @ np.eye(classes, pixels, k=4) * 1.2
    images = nuisance + signal + 0.3 * rng.standard_normal((size, pixels))
    return torch.tensor(images - images.mean(0)), torch.eye(classes, dtype=torch.float64)[labels]


@pytest.mark.claim("pcn-tradeoff")
@pytest.mark.evidence("empirical")
def test_the_local_rule_reconstructs_and_backpropagation_through_inference_classifies():
    """Codes of two units: the local rule spends them on the variance; lambda moves along the front; lambda = 0 gives up images."""
    rng = np.random.default_rng(0)
    images, labels = blobs(rng)
    reached = {}
    for name, settings in {
        "local": TradeoffSettings(rule="local", steps=250, learning_rate=0.02),
        "0.0": TradeoffSettings(weight=0.0, steps=250, learning_rate=0.02),
        "0.3": TradeoffSettings(weight=0.3, steps=250, learning_rate=0.02),
        "0.99": TradeoffSettings(weight=0.99, steps=250, learning_rate=0.02),
    }.items():
        model = GenerativeClassifier(PCN((3, 2, 12), init=0.3, rng=1, dtype=torch.float64))
        train_tradeoff(model, images, labels, settings)
        reached[name] = model.evaluate(images, labels)
    accuracy = {name: value[0] for name, value in reached.items()}
    error = {name: value[1] for name, value in reached.items()}
    assert accuracy["0.0"] > accuracy["local"] + 0.15, reached
    assert accuracy["0.3"] > accuracy["local"], reached
    assert error["0.0"] > error["0.3"] >= error["0.99"] - 1e-3, reached
    assert error["local"] < error["0.0"], reached


@pytest.mark.claim("pcn-tradeoff")
@pytest.mark.evidence("empirical")
def test_a_linear_network_classifies_by_a_linear_function_of_the_image(rng):
    """The ceiling: the inferred label is linear in the image, whatever the depth and the learning rule."""
    model = GenerativeClassifier(PCN((3, 4, 4, 6), rng=rng, dtype=torch.float64))
    a, b = (torch.tensor(rng.standard_normal((2, 6))) for _ in range(2))
    with torch.no_grad():
        both = model.settle(2 * a - 3 * b)[0]
        apart = 2 * model.settle(a)[0] - 3 * model.settle(b)[0]
    torch.testing.assert_close(both, apart, atol=1e-12, rtol=0)


BAD = [
    (lambda m: GenerativeClassifier(m, m), "`up` must have the widths of `down` in reverse"),
    (lambda m: TradeoffSettings(weight=2.0), r"`weight` must lie in \[0, 1\].*Got 2"),
    (lambda m: TradeoffSettings(rule="magic"), "`rule` must be one of 'local', 'through-inference'"),
    (
        lambda m: AutoencoderClassifier((4, 2), 2, activation="tanh", rng=0),
        "`activation` must be one of 'linear', 'relu'",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_arguments_are_refused_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call(PCN((3, 2, 4), rng=0))
