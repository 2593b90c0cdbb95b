from hypothesis import given
from hypothesis import strategies as st

from hermes_train.cluster.preflight.measuring import offset


@given(st.floats(-1e6, 1e6), st.floats(0, 10), st.floats(0, 10))
def test_the_true_offset_of_a_clock_is_within_the_uncertainty_whatever_the_ways_take(ahead, there, back):
    found = offset(100.0, 100.0 + there + ahead, 100.0 + there + back)

    assert abs(found.offset - ahead) <= found.uncertainty + 1e-6
