"""The middle of a few values is what sorting them puts there."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.numerics.middle_value import middle_value


@settings(deadline=None)
@given(st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=60))
def test_it_is_what_sorting_puts_there_and_none_before_it_is_above(given_values):
    values = np.array(given_values, np.float32)
    middle, half = middle_value(values), len(values) // 2
    assert middle == values[half] == np.sort(given_values)[half]
    assert (values[:half] <= middle).all()
    assert sorted(values.tolist()) == sorted(np.float32(given_values).tolist())
