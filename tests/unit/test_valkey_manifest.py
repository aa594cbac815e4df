"""The manifest of a store on servers: made once, never made over sessions, and open to known secret keys only."""

from collections.abc import Sequence

import pytest

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.manifest import Opened, open_manifest
from crudjt.errors import StoreCorrupt, StoreFormatError, StoreInaccessible, StoreUnavailable
from tests.support.modelled_servers import ModelledServers

OLD, NEW, OTHER = bytes(range(32)), bytes(range(1, 33)), bytes(range(2, 34))
LAYOUT = Layout("test")


@pytest.fixture
def servers() -> ModelledServers:
    return ModelledServers()


def opened(servers: ModelledServers, *secrets: bytes, create: bool = True, replicas: int = 0) -> Opened:
    return servers.run(open_manifest("model", LAYOUT, secrets, replicas, create=create))


def places(found: Opened) -> Sequence[bytes]:
    return [found.placement.of(f"user {number}") for number in range(10)]


def test_every_opening_has_the_salt_and_the_places_of_the_first(servers: ModelledServers) -> None:
    first, second = opened(servers, OLD), opened(servers, OLD, create=False)
    assert first.keyring.fingerprints == second.keyring.fingerprints
    assert places(first) == places(second)


def test_a_new_secret_key_is_added_beside_a_known_one_and_shares_its_places(servers: ModelledServers) -> None:
    first = opened(servers, OLD)
    both = opened(servers, OLD, NEW)
    assert places(both) == places(first) == places(opened(servers, NEW))


def test_a_secret_key_alone_that_the_store_does_not_know_is_refused(servers: ModelledServers) -> None:
    opened(servers, OLD)
    before = dict(servers.keys)
    with pytest.raises(StoreInaccessible, match="secret key"):
        opened(servers, OTHER)
    assert servers.keys == before


def test_no_store_is_made_where_none_is_expected(servers: ModelledServers) -> None:
    with pytest.raises(StoreInaccessible, match="no store"):
        opened(servers, OLD, create=False)
    assert servers.keys == {}


def test_no_new_salt_is_made_where_sessions_lie(servers: ModelledServers) -> None:
    servers.keys[LAYOUT.session(bytes(16))] = b"a session"
    for create in (False, True):
        with pytest.raises(StoreCorrupt, match="no manifest"):
            opened(servers, OLD, create=create)


def test_two_processes_that_make_a_store_at_once_agree(servers: ModelledServers) -> None:
    found: list[Opened] = []

    def other_first(ask: object) -> None:
        if getattr(ask, "args", ())[:1] == (b"SET",):
            servers.before = lambda _ask: None
            found.append(opened(servers, NEW, OLD))

    servers.before = other_first
    found.append(opened(servers, OLD, NEW))
    assert places(found[0]) == places(found[1])
    assert sorted(found[0].keyring.fingerprints) == sorted(found[1].keyring.fingerprints)


def test_two_processes_that_add_a_secret_key_at_once_both_add_it(servers: ModelledServers) -> None:
    opened(servers, OLD)

    def other_first(ask: object) -> None:
        if getattr(ask, "script", None) is not None:
            servers.before = lambda _ask: None
            opened(servers, OLD, NEW)

    servers.before = other_first
    opened(servers, OLD, OTHER)
    for secret in (OLD, NEW, OTHER):
        opened(servers, secret)


def test_a_lost_reply_to_the_first_manifest_changes_nothing(servers: ModelledServers) -> None:
    for carried_out in (False, True):
        servers = ModelledServers()
        servers.lose, servers.carried_out = 4, carried_out  # GET, the primaries, SCAN, SET
        assert places(opened(servers, OLD)) == places(opened(servers, OLD))


def test_a_manifest_that_a_failover_could_undo_is_not_trusted(servers: ModelledServers) -> None:
    servers.replicas = 1
    with pytest.raises(StoreUnavailable, match="1 of 2 replicas"):
        opened(servers, OLD, replicas=2)


def test_a_damaged_or_newer_manifest_is_refused(servers: ModelledServers) -> None:
    opened(servers, OLD)
    whole = servers.keys[LAYOUT.manifest]
    for text, error in (
        (b"", StoreCorrupt),
        (whole[:-1], StoreCorrupt),
        (whole.replace(b'"salt":"', b'"salt":"x'), StoreCorrupt),
        (whole.replace(b'"placement":{', b'"placement":{"0":"0"},"x":{'), StoreCorrupt),
        (whole.replace(b'"format":1', b'"format":3'), StoreFormatError),
    ):
        servers.keys[LAYOUT.manifest] = text
        with pytest.raises(error):
            opened(servers, OLD)
