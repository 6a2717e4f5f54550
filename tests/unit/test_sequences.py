"""Sequence numbers, percentiles and shares, compared with models that keep everything."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multicast.apps import sequences
from multicast.apps.measuring import share
from multicast.apps.sequences import Extender, Histogram, Sequence

NUMBERS = st.lists(st.integers(0, 60), max_size=120)


@given(NUMBERS)
def test_sequence_any_order_counts_as_a_set_would(numbers: list[int]) -> None:
    sequence = Sequence()
    seen: set[int] = set()
    duplicates = reordered = 0
    for time_ns, number in enumerate(numbers):
        sequence.add(number, time_ns)
        if number in seen:
            duplicates += 1
        elif seen and number < max(seen):
            reordered += 1
        seen.add(number)
    missing = sorted(set(range(min(seen), max(seen) + 1)) - seen) if seen else []
    assert (sequence.received, sequence.duplicates, sequence.reordered) == (
        len(numbers),
        duplicates,
        reordered,
    )
    assert sequence.lost == len(missing)
    assert [number for gap in sequence.gaps for number in range(gap.first, gap.last + 1)] == missing


def test_gap_has_the_times_of_the_items_around_it() -> None:
    sequence = Sequence()
    for number, time_ns in ((1, 100), (2, 200), (5, 500)):
        sequence.add(number, time_ns)
    (gap,) = sequence.gaps
    assert (gap.first, gap.last, gap.size, gap.since_ns, gap.until_ns) == (3, 4, 2, 200, 500)


def test_sequence_with_too_many_gaps_forgets_the_oldest_and_keeps_the_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sequences, "MAX_GAPS", 3)
    sequence = Sequence()
    for number in range(0, 20, 2):
        sequence.add(number, 0)
    assert sequence.lost == 9
    assert [gap.first for gap in sequence.gaps] == [13, 15, 17]
    sequence.add(1, 0)
    assert (sequence.lost, sequence.duplicates) == (9, 1)


@given(st.integers(0, 0xFFFF), st.lists(st.integers(-100, 1000), max_size=100))
def test_extender_continues_numbers_that_wrap_around(first: int, steps: list[int]) -> None:
    extender = Extender(16)
    base = extender.extend(first)
    assert base & 0xFFFF == first
    highest = base
    for step in steps:
        number = highest + step
        assert extender.extend(number & 0xFFFF) == number
        highest = max(highest, number)


@given(
    st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=200),
    st.sampled_from([0, 1, 50, 90, 99, 99.9, 100]),
)
def test_percentile_is_that_of_the_sorted_values_within_its_error(values: list[int], percent: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
    assert abs(histogram.percentile(percent) - exact) <= abs(exact) / 128
    assert (histogram.lowest, histogram.highest, len(histogram)) == (min(values), max(values), len(values))


def test_percentile_of_no_values_is_an_error() -> None:
    with pytest.raises(ValueError, match="must have values"):
        Histogram().percentile(50)


@given(st.integers(0, 10**6), st.lists(st.integers(0, 1000), min_size=1, max_size=20).filter(any))
def test_share_is_exact_in_sum_and_proportional(count: int, weights: list[int]) -> None:
    shares = share(count, weights)
    assert sum(shares) == count
    for part, weight in zip(shares, weights, strict=True):
        assert abs(part - count * weight / sum(weights)) <= 1
