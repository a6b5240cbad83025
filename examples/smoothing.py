"""Smooths series of measurements: what the example suite tests."""

import ctypes

import numpy as np

window = 3
"""How many neighbours are averaged; a global setting, as many modules have one."""


def smooth(values: list[float]) -> list[float]:
    """Return the moving average of ``values`` over ``window`` neighbours.

    Args:
        values: At least ``window`` numbers.

    Raises:
        ValueError: There are fewer.
    """
    if len(values) < window:
        message = f"{len(values)} values are fewer than the window of {window}"
        raise ValueError(message)
    averages: list[float] = np.convolve(values, np.ones(window) / window, mode="valid").tolist()
    return averages


def first_at(address: int) -> float:
    """Return the double at ``address``, as code around a C library does; nothing checks the address."""
    return ctypes.c_double.from_address(address).value
