"""Numbers in prose come from cells, so that text and computation cannot disagree."""

from __future__ import annotations

import numpy as np

try:
    from myst_nb import glue
except ModuleNotFoundError:  # an exported notebook, in Colab: its text holds the numbers already
    glue = None


def glue_numbers(**numbers: float) -> None:
    """Give numbers names that the text can show with the role ``glue:text``.

    Parameters
    ----------
    **numbers : float, int or str
        Names and values. Numpy scalars become plain numbers, which the text can format.

    Raises
    ------
    ValueError
        If a number is missing or infinite.

    Examples
    --------
    >>> glue_numbers(clusters=np.int64(100))
    """
    for name, number in numbers.items():
        plain = number.item() if isinstance(number, np.generic) else number
        if isinstance(plain, float) and not np.isfinite(plain):
            raise ValueError(f"{name} is {plain}; only finite numbers can stand in the text.")
        if glue is not None:
            glue(name, plain, display=False)
