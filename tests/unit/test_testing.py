"""`crudjt.testing`: what its docstrings promise to the tests of applications."""

import doctest
import sys
from pathlib import Path

import pytest

import crudjt
from crudjt.testing import FakeClock, StoreContract, temporary_store


@pytest.mark.parametrize("kind", [FakeClock, StoreContract])
def test_the_example_in_the_docstring_works(kind: type) -> None:
    results = doctest.testmod(sys.modules[kind.__module__])
    assert results.attempted > 0
    assert results.failed == 0


def test_a_fake_clock_stands_still() -> None:
    clock = FakeClock()
    assert clock() == clock() == 1_700_000_000 * 10**9


def test_a_fake_clock_starts_where_it_is_told_to() -> None:
    assert FakeClock(5)() == 5_000_000_000
    assert FakeClock(seconds=0)() == 0


def test_a_fake_clock_answers_whole_nanoseconds_and_adds_up_exactly() -> None:
    clock = FakeClock(0)
    for _ in range(1000):
        clock.advance(0.1)
    clock.advance(7)
    assert type(clock()) is int
    assert clock() == 107 * 10**9


def test_a_fake_clock_moves_back_only_by_set_back() -> None:
    clock = FakeClock(100)
    with pytest.raises(ValueError, match="set_back"):
        clock.advance(-1)
    assert clock() == 100 * 10**9
    clock.set_back(1.5)
    assert clock() == 98_500_000_000
    clock.advance(0)
    assert clock() == 98_500_000_000


def directory_of(store: crudjt.Store) -> Path:
    """Return where a store lies, which its repr says."""
    return Path(repr(store).split("'")[1])


def test_a_temporary_store_works_and_vanishes() -> None:
    with temporary_store() as store:
        directory = directory_of(store)
        assert directory.is_dir()
        token = store.create({"user_id": 42})
        session = store.read(token)
        assert session is not None
        assert session.data == {"user_id": 42}
    assert not directory.exists()
    with pytest.raises(crudjt.StoreClosed):
        store.read(token)


def test_a_temporary_store_vanishes_when_its_block_fails() -> None:
    seen: list[Path] = []

    def fail(store: crudjt.Store) -> None:
        seen.append(directory_of(store))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), temporary_store() as store:
        fail(store)
    assert not seen[0].exists()


def test_a_temporary_store_takes_the_options_of_open(secret_key: str) -> None:
    clock = FakeClock()
    with temporary_store(clock=clock, max_data_bytes=10, secret_key=secret_key) as store:
        token = store.create({}, ttl=60)
        clock.advance(60)
        assert store.read(token) is None
        with pytest.raises(crudjt.DataTooLarge):
            store.create({"a": "longer than ten bytes"})
        with crudjt.open(directory_of(store), secret_key=secret_key, clock=clock) as same:
            assert same.read(store.create({})) is not None


def test_temporary_stores_have_nothing_in_common() -> None:
    with temporary_store() as one, temporary_store() as other:
        assert other.read(one.create({})) is None
        assert directory_of(one) != directory_of(other)
