r"""The list of derivations: families of one builder each, their cases, and the table that shows them.

A family belongs to a claim. Its case is given by parameters such as `hidden_layers=2`; a parameter that is a
word (`variant="fixed predictions"`) chooses between the families of the claim.
"""

from __future__ import annotations

import html
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from typing import Any

from .. import _check
from .derivation import Derivation

Parameters = Mapping[str, Any]


def cases(**values: Sequence[Any]) -> tuple[Parameters, ...]:
    """List all combinations of parameter values, the last parameter changing fastest.

    Parameters
    ----------
    **values : sequence
        The values of each parameter.

    Returns
    -------
    tuple of mapping
        One for each combination; a single empty one when there is no parameter.

    Examples
    --------
    >>> cases(hidden_layers=(1, 2), num_steps=(0,))
    ({'hidden_layers': 1, 'num_steps': 0}, {'hidden_layers': 2, 'num_steps': 0})
    """
    return tuple(dict(zip(values, choice, strict=True)) for choice in product(*values.values()))


@dataclass(frozen=True)
class Family:
    r"""One builder with the cases that are listed and tested.

    Parameters
    ----------
    claim : str
        The id of the claim.
    build : callable
        Parameters of a case to `Derivation`. The first line of its docstring is what the derivation shows.
    cases : tuple of mapping
        Parameter name to value, one mapping for each listed case.
    """

    claim: str
    build: Callable[..., Derivation]
    cases: tuple[Parameters, ...]

    @property
    def shows(self) -> str:
        """What the derivations of the family show: the first line of the builder's docstring."""
        return (inspect.getdoc(self.build) or "").partition("\n")[0]

    @cached_property
    def values(self) -> dict[str, list[Any]]:
        """The listed values of each parameter."""
        return {name: list(dict.fromkeys(case[name] for case in self.cases)) for name in self.cases[0]}

    @property
    def described(self) -> str:
        """The parameters with their listed values, in one line."""
        return " and ".join(
            f"`{name}` ({', '.join(map(repr, listed))})" for name, listed in self.values.items()
        )

    def match(self, case: Parameters) -> dict[str, Any] | None:
        """Complete the parameters of a case of this family.

        Parameters
        ----------
        case : mapping
            Parameter name to value. A parameter that is left out takes the default of the builder.

        Returns
        -------
        dict or None
            All parameters in the order of the family; None if the case belongs to another family.
        """
        signature = inspect.signature(self.build).parameters
        defaults = {
            name: signature[name].default
            for name in self.values
            if signature[name].default is not inspect.Parameter.empty
        }
        complete = {**defaults, **case}
        if set(complete) != set(self.values):
            return None
        for name, listed in self.values.items():
            is_word = isinstance(listed[0], str)
            if is_word != isinstance(complete[name], str) or (is_word and complete[name] not in listed):
                return None
        return {name: self._checked(name, complete[name]) for name in self.values}

    def _checked(self, name: str, value: Any) -> Any:
        listed = self.values[name]
        if name == "widths":
            return _check.widths(value)
        if isinstance(listed[0], bool):
            if not isinstance(value, bool):
                raise TypeError(f"`{name}` must be True or False. Got {type(value).__name__}.")
            return value
        if isinstance(listed[0], int):
            return _check.count(value, name, min(listed))
        if value not in listed:
            raise ValueError(f"`{name}` must be one of {', '.join(map(repr, listed))}. Got {value!r}.")
        return value


@dataclass(frozen=True)
class Case:
    """One listed derivation: its claim and the parameters that `derive` takes.

    Parameters
    ----------
    family : Family
    parameters : mapping
        Parameter name to value.
    """

    family: Family
    parameters: Parameters

    @property
    def claim(self) -> str:
        """The id of the claim."""
        return self.family.claim

    def derive(self) -> Derivation:
        """Build the derivation.

        Returns
        -------
        Derivation
        """
        return built(self.family, **self.parameters)

    def __str__(self) -> str:
        written = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"{self.claim}({written})"


def built(family: Family, **parameters: Any) -> Derivation:
    """Build a derivation of a family; a second call with the same parameters returns the same value.

    Parameters
    ----------
    family : Family
        The family with the builder to call.
    **parameters
        All of its parameters.

    Returns
    -------
    Derivation
    """
    return _built(family.build, tuple(parameters.items()))


@cache
def _built(build: Callable[..., Derivation], parameters: tuple[tuple[str, Any], ...]) -> Derivation:
    return build(**dict(parameters))


class Derivations(Sequence[Case]):
    """The listed cases, in the order of the theory; shown as a table with one row for each family.

    Parameters
    ----------
    families : sequence of Family
    """

    def __init__(self, families: Sequence[Family]) -> None:
        self.families = tuple(families)
        self._cases = tuple(Case(family, parameters) for family in families for parameters in family.cases)

    def __len__(self) -> int:
        return len(self._cases)

    def __iter__(self) -> Iterator[Case]:
        return iter(self._cases)

    def __getitem__(self, index: Any) -> Any:
        return self._cases[index]

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """Claim, cases, number of steps and what is shown, for each family; builds one derivation of each."""
        return [
            (family.claim, _listed(family), str(_num_steps(family)), family.shows) for family in self.families
        ]

    def __repr__(self) -> str:
        head = ("claim", "cases", "steps", "shows")
        rows = [head, *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join(
            "  ".join(
                [*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]
            ).rstrip()
            for row in rows
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in ("claim", "cases", "steps", "shows"))
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _listed(family: Family) -> str:
    """The parameters as they are written in a call, with ranges for runs of numbers."""
    return ", ".join(f"{name}={_range(values)}" for name, values in family.values.items()) or "any size"


def _range(values: Sequence[Any]) -> str:
    numbers = all(isinstance(value, int) and not isinstance(value, bool) for value in values)
    if numbers and len(values) > 1:
        return f"{min(values)}..{max(values)}"
    if len(values) > 3:
        return f"{values[0]!r} | ... | {values[-1]!r}"
    return " | ".join(map(repr, values))


def _num_steps(family: Family) -> int:
    """The number of steps of the first listed case."""
    return len(built(family, **family.cases[0]).steps)
