"""Memory for native code: where it begins, that it is zero and nobody else's."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
from lamina.kernels.memory import HUGE, LINE, address, aligned


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("size", [0, 1, 1000, HUGE - 8, HUGE, 3 * HUGE + 24])
def test_zeros_at_a_cache_line(size: int, dtype: str) -> None:
    item = np.dtype(dtype).itemsize
    arrays = [aligned(size // item, dtype) for _ in range(3)]
    for number, array in enumerate(arrays):
        assert (array.dtype, array.shape) == (dtype, (size // item,))
        assert address(array) % LINE == 0 or not array.size
        assert not array.any()
        array[...] = number + 1
    for number, array in enumerate(arrays):
        assert (array == number + 1).all()


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="huge pages are asked of Linux")
def test_large_arrays_do_not_begin_in_the_same_set_of_a_cache() -> None:
    arrays = [aligned(HUGE, "float32") for _ in range(4)]
    assert len({address(array) % HUGE for array in arrays}) == len(arrays)
