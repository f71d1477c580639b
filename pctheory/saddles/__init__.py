"""Critical points of an objective: their kinds, certificates of escape, and a search for them."""

from .certificates import EscapeDirection, escape_direction
from .classification import KINDS, CriticalPoint, classify_critical_point, infimum, non_strict_saddle
from .search import CriticalPoints, find_critical_points

__all__ = [
    "KINDS",
    "CriticalPoint",
    "CriticalPoints",
    "EscapeDirection",
    "classify_critical_point",
    "escape_direction",
    "find_critical_points",
    "infimum",
    "non_strict_saddle",
]
