"""The type of an array, for annotations."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
