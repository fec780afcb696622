"""The arrays of this room. N rows, C classes, G groups, S slices, K kinds of rows, R rounds."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Numeric = npt.NDArray[np.float64 | np.int64]  # class indices, or the values of a regression
Booleans = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.str_]
Array = npt.NDArray[np.generic]  # of any type, as an .npz file has them
