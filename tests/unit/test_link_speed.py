"""Outputs are compressed if they come back slowly."""

import pytest

from wqmaster.run.link_speed import LinkSpeed

SLOW, FAST = 2e6, 200e6  # bytes per second


def received(link: LinkSpeed, speed: float, outputs: int, size: int = 200_000) -> None:
    for _ in range(outputs):
        link.received(size, size / speed)


def test_a_slow_link_is_noticed_after_a_few_outputs() -> None:
    link = LinkSpeed()
    received(link, SLOW, 4)
    assert not link.is_slow
    received(link, SLOW, 1)
    assert link.is_slow


def test_a_few_slow_outputs_among_fast_ones_change_nothing() -> None:
    link = LinkSpeed()
    for _ in range(20):
        received(link, FAST, 2)
        received(link, SLOW, 1)
        assert not link.is_slow


def test_a_link_that_has_become_fast_is_noticed_and_one_between_changes_nothing() -> None:
    link = LinkSpeed()
    received(link, SLOW, 10)
    received(link, 40e6, 100)  # faster than SLOW_BYTES_PER_SECOND, slower than FAST_...
    assert link.is_slow
    received(link, FAST, 100)
    assert not link.is_slow
    received(link, 40e6, 100)
    assert not link.is_slow


@pytest.mark.parametrize(("size", "seconds"), [(1000, 1.0), (200_000, 0.0)])
def test_small_outputs_and_unknown_times_do_not_count(size: int, seconds: float) -> None:
    link = LinkSpeed()
    for _ in range(100):
        link.received(size, seconds)
    assert not link.is_slow
