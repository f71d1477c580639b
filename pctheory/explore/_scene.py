"""What every scene shares: settings that are moved, a stage that shows them, and what may be moved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from .. import _check
from ..plotting import Stage, style

__all__ = ["Choice", "Control", "Scene", "Slider", "Toggle"]

T = TypeVar("T")


@dataclass(frozen=True)
class Slider:
    """A number between two ends; whole if the step is."""

    label: str
    low: float
    high: float
    step: float
    value: float


@dataclass(frozen=True)
class Choice:
    """One of several names."""

    label: str
    options: tuple[str, ...]
    value: str


@dataclass(frozen=True)
class Toggle:
    """On or off."""

    label: str
    value: bool


Control = Slider | Choice | Toggle


class Scene(ABC):
    """A figure with settings.

    `move` changes some of them; only what depends on them is computed and drawn again.

    Attributes
    ----------
    settings : dict
        The present values.
    note : str
        What the picture says in numbers, one sentence.
    """

    CONTROLS: ClassVar[Mapping[str, Control]]

    def __init__(self, stage: Stage, settings: Mapping[str, Any]) -> None:
        self.stage = stage
        self.settings: dict[str, Any] = {name: control.value for name, control in self.CONTROLS.items()}
        self.note = ""
        self._kept: dict[str, tuple[Hashable, Any]] = {}
        with style():
            self._build()
        self.move(**settings)

    @property
    def figure(self) -> Any:
        """The matplotlib figure, to be saved; afterwards the scene does not move any more."""
        return self.stage.still()

    def move(self, **changes: Any) -> None:
        """Other values of some settings; if they are refused, the old ones stay.

        Parameters
        ----------
        **changes
            Names of `CONTROLS`, with values that they allow.

        Raises
        ------
        ValueError
            With the rule that the setting breaks.
        TypeError
            With the rule that the setting breaks.
        """
        before = dict(self.settings)
        self.settings.update({name: self._checked(name, value) for name, value in changes.items()})
        try:
            self._update()
        except (ValueError, TypeError):
            self.settings = before
            raise
        self.stage.refresh()

    def point(self, across: float, up: float, shift: tuple[float, float]) -> dict[str, Any]:
        """The changes that a pointer at a place of the picture asks for.

        Parameters
        ----------
        across, up : float
            Where it is, as fractions of the picture from the lower left corner.
        shift : (float, float)
            How far it was dragged since the last call.

        Returns
        -------
        changes : dict
            For `move`; empty where the pointer means nothing.
        """
        return {}

    def png(self) -> bytes:
        """The picture as a PNG file."""
        return self.stage.png()

    def _repr_png_(self) -> bytes:
        return self.png()

    @abstractmethod
    def _build(self) -> None:
        """Panels and artists, without data."""

    @abstractmethod
    def _update(self) -> None:
        """Compute for the present settings and hand the results to the artists."""

    def _keep(self, name: str, key: Hashable, make: Callable[[], T]) -> T:
        """The result of `make`, computed anew only if the key is another one."""
        kept = self._kept.get(name)
        if kept is None or kept[0] != key:
            self._kept[name] = (key, make())
        found: T = self._kept[name][1]
        return found

    def _checked(self, name: str, value: Any) -> Any:
        control = self.CONTROLS[_check.choice(name, "setting", self.CONTROLS)]
        if isinstance(control, Choice):
            return _check.choice(value, name, control.options)
        if isinstance(control, Toggle):
            return _check.flag(value, name)
        number = _check.real(value, name)
        if not control.low <= number <= control.high:
            raise ValueError(
                f"`{name}` must lie between {control.low:g} and {control.high:g}. Got {number:g}."
            )
        return round(number) if float(control.step).is_integer() else number

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self.settings.items())
        return f"{type(self).__name__}({shown})"
