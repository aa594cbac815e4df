"""What applications may rely on: the public names, and how they are called. A change here is a change of the API."""

import inspect

import pytest

import crudjt
import crudjt.admin
import crudjt.base
import crudjt.metrics
import crudjt.server
import crudjt.testing
from tests.support.interface import PROPERTIES, SIGNATURES, called, public

NAMES = {
    "AsyncStore",
    "AsyncTypedStore",
    "CRUDJT",
    "Client",
    "CrudjtError",
    "DataMismatch",
    "DataTooLarge",
    "Event",
    "InvalidParameter",
    "InvalidType",
    "KEEP",
    "KeepType",
    "MissingDependency",
    "Page",
    "Session",
    "Stats",
    "Store",
    "StoreBusy",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreFailed",
    "StoreFormatError",
    "StoreFull",
    "StoreInaccessible",
    "StoreMoved",
    "StoreUnavailable",
    "TooManySessions",
    "TypedStore",
    "VersionConflict",
    "generate_secret_key",
    "open",
}


def test_the_public_names_of_crudjt_are_these() -> None:
    assert public(crudjt) == NAMES
    assert sorted(crudjt.__all__) == sorted(NAMES)


def test_open_is_called_so() -> None:
    options = inspect.signature(crudjt.open).parameters
    assert list(options)[:2] == ["location", "secret_key"]
    assert options["location"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for name, each in options.items() if name != "location")
    bare = called(crudjt.open).partition(", clock=")[0]
    assert bare == (
        "(location=None, *, secret_key=None, durability='interval', sync_interval=0.5, sweep_interval=86400.0, "
        "max_size=None, max_data_bytes=65536, max_cache_bytes=33554432"
    )


def test_the_public_methods_of_store_are_these() -> None:
    assert public(crudjt.Store) == SIGNATURES.keys() | PROPERTIES | {"asynchronous", "events", "typed"}


def test_an_asynchronous_store_has_the_same() -> None:
    assert public(crudjt.AsyncStore) == SIGNATURES.keys() | PROPERTIES | {"events", "typed"}


@pytest.mark.parametrize("name", SIGNATURES)
def test_each_method_of_store_is_called_so(name: str) -> None:
    assert called(getattr(crudjt.Store, name)) == SIGNATURES[name]


@pytest.mark.parametrize("kind", [crudjt.TypedStore, crudjt.AsyncTypedStore])
def test_the_methods_of_a_typed_store_are_called_as_those_of_store(kind: type) -> None:
    names = public(kind) - {"store"}
    assert names >= {"create", "create_many", "delete", "peek", "read", "read_many", "rotate", "sessions", "update"}
    assert {name: called(getattr(kind, name)) for name in names} == {name: SIGNATURES[name] for name in names}


def test_the_public_attributes_of_a_session_are_these() -> None:
    assert {name for name in dir(crudjt.Session) if not name.startswith("_")} == {
        "bound_to", "client", "created_at", "data", "expires_at", "expires_in", "id", "labels", "last_seen",
        "reads_left", "subject", "version",
    }  # fmt: skip


def test_the_public_attributes_of_stats_are_these() -> None:
    assert list(inspect.signature(crudjt.Stats).parameters) == [
        "sessions", "log_bytes", "unsynced_bytes", "view_bytes", "max_size", "synced_at", "swept_at", "compacted_at",
        "cache_bytes", "max_cache_bytes", "memory_bytes", "max_memory_bytes", "primaries", "replicas",
    ]  # fmt: skip


def test_the_public_face_of_testing_is_this() -> None:
    assert called(crudjt.testing.FakeClock) == "(seconds=1700000000)"
    assert public(crudjt.testing.FakeClock) == {"advance", "set_back"}
    assert called(crudjt.testing.temporary_store) == "(**options)"
    assert called(crudjt.testing.StoreContract.open_store) == "(self, clock)"
    assert {"FakeClock", "StoreContract", "temporary_store"} <= public(crudjt.testing)


def test_the_public_face_of_the_server_is_this() -> None:
    assert public(crudjt.server) >= {"Server", "TLS"}
    assert public(crudjt.server.Server) == {"addresses", "start", "stop"}
    assert called(crudjt.server.Server).startswith("(store, listen, *, ")


def test_the_public_face_of_the_metrics_is_this() -> None:
    assert crudjt.metrics.__all__ == ["Collector"]
    assert called(crudjt.metrics.Collector) == "(store)"


def test_the_public_face_of_the_admin_page_is_this() -> None:
    assert called(crudjt.admin.app) == "(store, *, authorize, read_only=False, show_data=False)"
    assert {"Authorize", "app"} <= public(crudjt.admin)


def test_the_functions_for_backends_are_these() -> None:
    assert {name for name in crudjt.base.__all__ if callable(getattr(crudjt.base, name)) and name.islower()} == {
        "changed_details", "changed_limits", "checked_handle", "checked_listing", "checked_subject", "checked_version",
        "list_of_tokens", "named", "new_limits", "new_session", "pack", "session_limit", "token_block", "unpack",
    }  # fmt: skip


def test_keep_reads_well_in_signatures() -> None:
    assert repr(crudjt.KEEP) == "KEEP"


def test_public_things_are_documented() -> None:
    documented = [getattr(crudjt, name) for name in NAMES - {"KeepType"}] + [
        getattr(kind, name) for kind in (crudjt.Store, crudjt.AsyncStore) for name in SIGNATURES.keys() | PROPERTIES
    ]
    assert [each for each in documented if not inspect.getdoc(each)] == []
