"""Figures are tested on the data of their quick profiles, and on being drawn without a warning."""

from matplotlib.figure import Figure

from experiments._progress import Progress
from experiments._result import Result
from pctheory.plotting import style


def quick(experiment):
    """The result of an experiment's quick profile, computed here and stored nowhere."""
    config = experiment.PROFILES["quick"]
    return Result(experiment.run(config, Progress(config)))


def drawn(figure, result):
    """The drawn figure; warnings are errors."""
    with style():
        fig = Figure(figsize=figure.SIZE, layout="constrained")
        figure.draw(fig, result)
        fig.canvas.draw()
    return fig
