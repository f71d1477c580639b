from ._deformation import Deformation, deformation
from ._directions import DIRECTIONS, direction, plane_of
from ._plane import Plane
from ._problems import PROBLEMS, problem
