"""Options: what is allowed, what is refused by name, and that `crudjt.open` has the same defaults."""

import inspect
import math
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt._backends.grpc.location import remote
from crudjt._backends.valkey.settings import settings
from crudjt._core.options import Options
from crudjt.testing import FakeClock

BAD: dict[str, list[Any]] = {
    "durability": ["", "none", "FULL", None, 1, True, ["full"]],
    "sync_interval": [0, -1, 0.0009, 3601, math.nan, math.inf, None, True, "1"],
    "sweep_interval": [0, -1, 0.0009, 10**9 + 1, math.nan, math.inf, None, True, "1"],
    "max_size": [0, -1, 1024**2 - 1, 2**45 + 1, 1.5e9, True, "1 GiB"],
    "max_cache_bytes": [-1, 2**40 + 1, 1.0, None, True],
    "max_data_bytes": [0, -1, 16 * 1024**2 + 1, 4096.0, None, True, "4096"],
    "clock": [None, 5, "clock"],
    "create": [None, 1, "yes"],
    "allow_shared_directory": [None, 1, "yes"],
}
GOOD: dict[str, list[Any]] = {
    "durability": ["interval", "full"],
    "sync_interval": [0.001, 1, 3600],
    "sweep_interval": [0.001, 1, 10**9],
    "max_size": [None, 1024**2, 2**45],
    "max_data_bytes": [1, 4096, 16 * 1024**2],
    "max_cache_bytes": [0, 2**40],
    "clock": [FakeClock(), lambda: 0],
    "create": [True, False],
    "allow_shared_directory": [True, False],
}


def each(values: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name}-{position}")
        for name, listed in values.items()
        for position, value in enumerate(listed)
    ]


def test_every_option_is_tried_below() -> None:
    assert BAD.keys() == GOOD.keys() == {field.name for field in fields(Options)}


@pytest.mark.parametrize(("name", "value"), each(BAD))
def test_a_bad_option_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        Options(**{name: value})
    assert caught.value.parameter == name
    assert str(caught.value).startswith(f"{name} must be")


@pytest.mark.parametrize(("name", "value"), each({name: listed[:2] for name, listed in BAD.items()}))
def test_open_refuses_a_bad_option_and_makes_nothing(path: Path, secret_key: str, name: str, value: Any) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        crudjt.open(path, secret_key=secret_key, **{name: value})
    assert caught.value.parameter == name
    assert not path.exists()


@pytest.mark.parametrize(("name", "value"), each(GOOD))
def test_a_good_option_is_taken(name: str, value: Any) -> None:
    assert getattr(Options(**{name: value}), name) == value


def test_options_are_frozen() -> None:
    options: Any = Options()
    with pytest.raises(FrozenInstanceError):
        options.durability = "full"


def test_open_takes_every_option_with_the_same_default() -> None:
    """And those of a remote store and of one on servers with those; and where its sessions are moved to."""
    parameters = dict(inspect.signature(crudjt.open).parameters)
    assert parameters.pop("moving_to").default is None
    of_others = {**inspect.signature(remote).parameters, **inspect.signature(settings).parameters}
    assert {name: each.default for name, each in parameters.items() if name not in ("location", "secret_key")} == {
        **{name: each.default for name, each in of_others.items() if name not in ("location", "secret_key")},
        **{field.name: field.default for field in fields(Options)},
    }


def test_max_size_is_what_stats_report_and_never_shrinks(path: Path, secret_key: str) -> None:
    """LMDB would cut the file to a smaller size under the other processes."""
    for asked, got in (
        (2 * 1024**2, 2 * 1024**2),
        (1024**2, 2 * 1024**2),
        (4 * 1024**2, 4 * 1024**2),
        (None, 4 * 1024**2),
    ):
        with crudjt.open(path, secret_key=secret_key, max_size=asked) as store:
            assert store.stats().max_size == got
            store.create({})
