# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Landscapes of predictive coding networks
#
# Backpropagation descends the loss $\mathcal L$. Predictive coding that runs inference for a time $t$
# descends the energy that is left then; at $t = 0$ that is the loss, and for $t \to \infty$ the equilibrated
# energy
# $F^* = \frac{1}{2B} \sum_i r_i^\top S^{-1} r_i$. Move the sliders: everything is exact, and nothing here is
# trained.
#
# 1. The loss deforms into $F^*$ as inference runs.
# 2. Saddles, and the directions in which they are left.
# 3. Any network's landscape in one line.

# %%
from io import BytesIO

import ipywidgets as widgets
import numpy as np
from IPython.display import Image, display
from matplotlib.figure import Figure

from pctheory import (
    Data,
    EquilibratedEnergy,
    LinearPCN,
    MSELoss,
    activity_hessian,
    classify_critical_point,
    extreme_eigenvalues,
    finite_time_energy,
    landscape_slice,
    plotting,
    rescaling,
)


def panels(number, height=2.6):
    """A figure with `number` square panels side by side."""
    with plotting.style():
        figure = Figure(figsize=(2.7 * number, height), layout="constrained")
        return figure, np.atleast_1d(figure.subplots(1, number))


def show(figure):
    """Display a figure, whatever matplotlib's backend is."""
    with plotting.style(), BytesIO() as buffer:
        figure.savefig(buffer, format="png", dpi=110)
        display(Image(data=buffer.getvalue()))


# %% [markdown]
# ## 1. The loss deforms into $F^*$
#
# A chain of $L$ weights on scalar data: the last weight $w_L$ against the common value $v$ of the others (the
# first of them carries the slider's factor). The data have $S_{xx} = S_{yy} = 1$ and the correlation of the
# slider; what is not correlated is noise. The clock of inference is $t$, in units in which a hidden activity
# without weights relaxes at rate 1.


# %%
def scalar_data(correlation):
    """S_xx = S_yy = 1 and S_xy = the correlation."""
    x = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    noise = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    return Data(x, correlation * x + np.sqrt(1 - correlation**2) * noise)


def chain(depth, v, last, first_factor):
    """The chain (f v, v, ..., v, w_L)."""
    values = [v] * (depth - 1) + [last]
    values[0] *= first_factor
    return LinearPCN([[[value]] for value in values])


def energy_at(net, data, time):
    """The energy after inference for a time; in Euler steps that are stable for the network."""
    if time == np.inf:
        return float(EquilibratedEnergy(data).value(net))
    if time == 0:
        return float(MSELoss(data).value(net))
    largest = np.linalg.eigvalsh(activity_hessian(net).to_dense())[-1]
    steps = int(np.ceil(time * max(largest, 1.0)))
    return float(finite_time_energy(net, data, time / steps, steps))


def deformation(depth, first_factor, correlation, time, points=25):
    """Contours of the loss, of the energy after a time, and of F*, with their values along the diagonal."""
    data = scalar_data(correlation)
    axis = np.linspace(-2, 2, points)
    figure, axes = panels(4)
    titles = ((0.0, r"$\mathcal{L}$  (t = 0)"), (time, f"t = {time:g}"), (np.inf, "$F^*$"))
    for ax, (clock, title) in zip(axes, titles, strict=False):
        values = [[energy_at(chain(depth, v, w, first_factor), data, clock) for v in axis] for w in axis]
        plotting.contour(ax, axis, axis, np.array(values))
        ax.set(title=title, xlabel="$v$", ylabel="$w_L$")
        along = [values[i][i] for i in range(points)]
        axes[3].plot(axis, along, label=title.split("  ")[0])
    axes[3].set(title="diagonal $v = w_L$", xlabel="$v$", ylabel="energy", ylim=(0, 2))
    axes[3].legend(fontsize=7)
    show(figure)


widgets.interact(
    deformation,
    depth=widgets.IntSlider(3, 2, 8, continuous_update=False, description="depth L"),
    first_factor=widgets.FloatSlider(
        1.0, min=-2.0, max=2.0, step=0.25, continuous_update=False, description="w_1 / v"
    ),
    correlation=widgets.FloatSlider(
        -0.9, min=-1.0, max=1.0, step=0.1, continuous_update=False, description="S_xy"
    ),
    time=widgets.SelectionSlider(
        options=[0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0], value=0.5, continuous_update=False,
        description="time t",
    ),
    points=widgets.fixed(25),
);  # fmt: skip

# %% [markdown]
# ## 2. Saddles and how to leave them
#
# `classify_critical_point` tells what a critical point is; for a strict saddle of $F^*$ it returns a
# direction of negative curvature in closed form, checked by one Hessian-vector product. Three points of one
# network: the origin, a saddle of rank zero (only the middle layer has weights), and one at which the output
# listens to the wrong direction.


# %%
def saddle(kind, width, seed):
    """A critical point of F* on realisable data, and the data."""
    rng = np.random.default_rng(seed)
    data = Data.teacher(rng.standard_normal((2, 3)), 30, rng=rng)
    net = LinearPCN.zeros((3, width, width, 2))
    if kind == "zero rank":
        middle = rng.standard_normal((width, width)) / np.sqrt(width)
        net = net.replace(weights=[net.weights[0], middle, net.weights[2]])
    if kind == "one direction learned":
        # the second principal direction of the targets, at its best linear prediction
        direction = np.linalg.eigh(data.yy)[1][:, 0]
        inputs = np.linalg.solve(data.xx, data.yx.T @ direction)
        first, middle, last = (w.copy() for w in net.weights)
        first[0], middle[0, 0], last[:, 0] = inputs, 1.0, direction
        net = net.replace(weights=[first, middle, last])
    return net, data


def leave(kind, width, seed):
    """The landscapes around the saddle, and both objectives along the escape direction of F*."""
    net, data = saddle(kind, width, seed)
    energy, loss = EquilibratedEnergy(data), MSELoss(data)
    point = classify_critical_point(energy, net)
    print("F*:  ", point)
    print("loss:", classify_critical_point(loss, net))
    figure, axes = panels(3)
    across = net.split(extreme_eigenvalues(energy, net).largest_vectors[0])
    for ax, objective, title in zip(axes, (loss, energy), (r"$\mathcal{L}$", "$F^*$"), strict=False):
        if point.escape is None:
            continue
        plane = [across, point.escape.direction]
        cut = landscape_slice(objective, net, plane, extent=1.5, num=41)
        if np.ptp(cut.values) > 1e-12:
            plotting.contour(ax, *cut.axes, cut.values)
        else:
            plotting.note(ax, "constant", "upper right")
            ax.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5))
        ax.plot(0, 0, "o", markerfacecolor="white", markeredgecolor=plotting.COLOURS["highlight"])
        ax.set(title=title, xlabel="steepest upward", ylabel="escape direction")
        line = landscape_slice(objective, net, [point.escape.direction], extent=1.5, num=101)
        axes[2].plot(*line.axes, line.values, label=title)
        if objective is energy:
            parabola = point.value + 0.5 * point.escape.curvature * line.axes[0] ** 2
            plotting.theory(axes[2], line.axes[0], parabola, label="curvature", linestyle=":")
            axes[2].set_ylim(min(line.values) - 0.1 * abs(point.value), 1.3 * point.value)
    axes[2].set(title="along the escape", xlabel="distance")
    axes[2].legend(fontsize=7)
    show(figure)


widgets.interact(
    leave,
    kind=widgets.Dropdown(options=["origin", "zero rank", "one direction learned"], description="saddle"),
    width=widgets.IntSlider(4, 1, 8, continuous_update=False, description="width"),
    seed=widgets.IntSlider(0, 0, 9, continuous_update=False, description="seed"),
);  # fmt: skip

# %% [markdown]
# ## 3. Any network's landscape in one line
#
# `landscape_slice(objective, net)` is the plane of the extreme eigenvectors of the Hessian at `net`, for any
# `LinearPCN`, including one read off a torch model with `LinearPCN.from_torch`.

# %%
rng = np.random.default_rng(1)
data = Data.teacher(rng.standard_normal((4, 6)), 100, noise=0.3, rng=rng)


def view(parameterisation, depth, width, scale, skips):
    """L and F* around a random network."""
    net = LinearPCN.random(
        (6, *[width] * (depth - 1), 4),
        parameterisation=parameterisation,
        skips=skips,
        rng=np.random.default_rng(0),
    )
    net = net.replace(weights=[scale * w for w in net.weights])
    figure, axes = panels(2)
    for ax, objective in zip(axes, (MSELoss(data), EquilibratedEnergy(data)), strict=True):
        cut = landscape_slice(objective, net, extent=2.0, num=41)  # the one line
        plotting.contour(ax, *cut.axes, cut.values)
        ax.set(title=type(objective).__name__, xlabel="most negative curvature", ylabel="largest curvature")
    show(figure)
    print(f"loss {float(MSELoss(data).value(net)):.4f}, F* {float(EquilibratedEnergy(data).value(net)):.4f}, "
          f"largest eigenvalue of S {np.linalg.eigvalsh(rescaling(net))[-1]:.3f}")  # fmt: skip


widgets.interact(
    view,
    parameterisation=widgets.Dropdown(options=["sp", "ntp", "mupc"], description="scaling"),
    depth=widgets.IntSlider(4, 2, 10, continuous_update=False, description="depth L"),
    width=widgets.IntSlider(8, 2, 24, continuous_update=False, description="width"),
    scale=widgets.FloatSlider(
        1.0, min=0.1, max=2.0, step=0.1, continuous_update=False, description="weights x"
    ),
    skips=widgets.Checkbox(False, description="skips"),
)
# %% [markdown]
# The same plane as a surface that can be turned with the mouse.

# %%
import plotly.graph_objects as go

chain_net = LinearPCN.zeros((1, 1, 1))
flat, deep = (
    landscape_slice(objective(scalar_data(-0.9)), chain_net, list(np.eye(2)), extent=1.5, num=41)
    for objective in (MSELoss, EquilibratedEnergy)
)
go.Figure(
    [
        go.Surface(
            x=flat.axes[0], y=flat.axes[1], z=flat.values, colorscale="Greys", opacity=0.5, showscale=False
        ),
        go.Surface(x=deep.axes[0], y=deep.axes[1], z=deep.values, colorscale="Blues_r", showscale=False),
    ],
    layout={
        "title": "One hidden unit: the loss (grey) above F* (blue)",
        "scene": {"xaxis_title": "w_1", "yaxis_title": "w_2", "zaxis": {"title": "energy", "range": [0, 2]}},
        "width": 700,
        "height": 500,
    },
)
