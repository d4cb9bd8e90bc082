from functools import partial

import numpy as np
import pytest

from templates.stages import optimize_numbers as numbers

RANDOM = np.random.default_rng(4)
WEIGHTS = RANDOM.normal(size=(100, 20)).astype(np.float32)  # no whole number of blocks
VALUES = RANDOM.normal(size=(9, 100)).astype(np.float32)


@pytest.mark.parametrize("most", [63, 127])
def test_each_column_is_rounded_by_a_scale_of_its_own(most: int) -> None:
    weights = WEIGHTS * (10.0 ** np.arange(-10, 10)).astype(np.float32)
    rounded, scales = numbers.by_column(weights, most=most)
    assert np.abs(rounded).max() == most
    errors = np.abs(rounded * scales - weights).max(axis=0) / np.abs(weights).max(axis=0)
    assert errors.max() < 0.25  # the largest are clipped where all others gain by it


def test_a_column_errs_no_more_than_by_its_largest_number() -> None:
    rounded, scales = numbers.by_column(WEIGHTS, most=127)
    plain = np.abs(WEIGHTS).max(axis=0) / 127
    plain_errors = np.square(np.rint(WEIGHTS / plain) * plain - WEIGHTS).sum(axis=0)
    assert (np.square(rounded * scales - WEIGHTS).sum(axis=0) <= plain_errors + 1e-9).all()


def test_zeros_stay_zeros() -> None:
    rounded, scales = numbers.by_column(np.zeros((4, 3), np.float32), most=127)
    rows, row_scales = numbers.by_row(np.zeros((4, 3), np.float32))
    assert not np.concatenate([rounded, rows]).any()
    assert np.isfinite(np.concatenate([scales, row_scales[:, 0]])).all()


def test_each_row_of_a_table_is_rounded_by_a_scale_of_its_own() -> None:
    rounded, scales = numbers.by_row(WEIGHTS)
    assert np.abs(rounded * scales - WEIGHTS).max() <= scales.max() / 2 * 1.0001


@pytest.mark.parametrize(("bits", "most"), [(4, 0.09), (8, 0.006)])
def test_blocks_err_as_little_as_their_bits_allow(bits: int, most: float) -> None:
    error = numbers.relative_error(VALUES, WEIGHTS, product=partial(numbers.block_product, bits=bits))
    assert error < most**2


def test_blocks_are_packed_as_the_operator_reads_them() -> None:
    blocks = numbers.by_block(WEIGHTS, bits=4)
    assert (blocks.packed.shape, blocks.scales.shape, blocks.zero_points.shape) == ((20, 4, 16), (20, 4), (20, 2))


def test_fewer_bits_err_more() -> None:
    products = [partial(numbers.int8_product, most=most) for most in (127, 63, 7)]
    errors = [numbers.relative_error(VALUES, WEIGHTS, product=product) for product in products]
    assert errors == sorted(errors)
