"""The drops of a receiver are shared by its streams."""

from hypothesis import given
from hypothesis import strategies as st

from multicast.apps.measuring import share


@given(st.integers(0, 10**6), st.lists(st.integers(0, 1000), min_size=1, max_size=20).filter(any))
def test_share_is_exact_in_sum_and_proportional(count: int, weights: list[int]) -> None:
    shares = share(count, weights)
    assert sum(shares) == count
    for part, weight in zip(shares, weights, strict=True):
        assert abs(part - count * weight / sum(weights)) <= 1
