"""Requests of other clients: malformed, hostile, or out of bounds."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crudjt
from crudjt._rpc import chunking
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.server.services.store import METHODS

TOKEN = "A" * 22


def call(store: crudjt.Store, name: str, request: Any) -> Any:
    method = METHODS[name]
    answer = method.call(store, iter([request]) if method.request_streaming else request)
    return list(answer) if method.response_streaming else answer


BAD_DATA = {
    "empty": b"",
    "not a map": b"\x90",
    "a number": b"\x01",
    "nil": b"\xc0",
    "cut off": b"\x81\xa1a",
    "followed by more": b"\x80\x80",
    "reserved": b"\xc1",
    "nested deeply": b"\x81\xa0" * 2000 + b"\xc0",
    "lists nested deeply": b"\x81\xa0" + b"\x91" * 4000 + b"\xc0",
    "a map of 4 billion": b"\xdf\xff\xff\xff\xff",
    "a list of 4 billion": b"\x81\xa0\xdd\xff\xff\xff\xff",
    "a text of 4 billion": b"\x81\xa0\xdb\xff\xff\xff\xff",
    "no UTF-8": b"\x81\xa0\xa1\xff",
    "a map as a key": b"\x81\x80\x80",
    "a bad timestamp": b"\x81\xa0\xd4\xff\x00",
    **{
        f"extension type {code} with {payload!r}": msgspec.msgpack.encode({"": msgspec.msgpack.Ext(code, payload)})
        for code, payloads in {
            1: [b"", b"\x80", b"\x91", b"\x90\x90", b"\x91" * 5000, b"\xdd\xff\xff\xff\xff"],
            2: [b"\x92\x01\x01", b"\x91\x90", b"\x91\xd4\x14\x00"],
            3: [b"\x91\x80", b"\x91\xd4\x02\x90"],
            4: [b"", b"2026-01-02", b"2026-01-02T00:00:00Z", b"2026-01-02 00:00:00", b"2026-13-02T00:00:00", b"\xff"],
            5: [b"20260102", b"2026-02-30", b"0000-01-01"],
            6: [b"24:00:00", b"01:02:03+01:00", b"01:02"],
            7: [
                b"\x93\x01\x02",
                b"\x93\x01\xff\x00",
                b"\x93\xce\xff\xff\xff\xff\x00\x00",
                b"\x93\xcf" + b"\xff" * 8 + b"\x00\x00",
            ],
            8: [b"", b"1_0", b" 1", b"1e5", b"1" * 5000 + b"x", b"1E+99999999999999999999"],
            9: [b"", bytes(15), bytes(17)],
            0: [b""],
            10: [b""],
            127: [b"x"],
            -2: [b"x"],
        }.items()
        for payload in payloads
    },
}


@pytest.mark.parametrize("data", BAD_DATA.values(), ids=BAD_DATA)
@pytest.mark.parametrize(
    "request_of",
    [
        lambda data: ("Create", pb.CreateRequest(data=data)),
        lambda data: ("Update", pb.UpdateRequest(token=TOKEN, data=data)),
        lambda data: ("CreateMany", pb.CreateManyRequest(data=[b"\x80", data])),
    ],
    ids=["Create", "Update", "CreateMany"],
)
def test_data_that_is_no_map_in_messagepack_is_a_bad_parameter(
    store: crudjt.Store, request_of: Callable[[bytes], tuple[str, Any]], data: bytes
) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        call(store, *request_of(data))
    assert caught.value.parameter == "data"
    assert store.stats().sessions == 0


def test_large_data_is_refused_before_it_is_decoded(store: crudjt.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """4 MB may be 4 million lists, which take a hundred times as much."""
    decoded: list[bytes] = []
    monkeypatch.setattr("crudjt.server.services._messages.unpack_sent", decoded.append)
    with pytest.raises(crudjt.DataTooLarge) as caught:
        call(store, "Create", pb.CreateRequest(data=b"\x81\xa0\xdd\x00\x00\xff\xff" + b"\x90" * 65_535))
    assert (caught.value.size, caught.value.limit, decoded) == (65_542, 65_536, [])


@pytest.mark.parametrize("value", [0, -1, -(2**63), 2**63 - 1])
def test_durations_out_of_range_are_refused_by_name(store: crudjt.Store, value: int) -> None:
    token = store.create({})
    requests: list[tuple[str, str, Any]] = [
        ("ttl", "Create", pb.CreateRequest(data=b"\x80", limits=pb.Limits(ttl_ms=value))),
        ("idle", "Create", pb.CreateRequest(data=b"\x80", limits=pb.Limits(idle_ms=value))),
        ("ttl", "Touch", pb.TouchRequest(token=token, ttl=pb.Change(value=value))),
        ("idle", "Update", pb.UpdateRequest(token=token, data=b"\x80", idle=pb.Change(value=value))),
    ]
    for parameter, name, request in requests:
        with pytest.raises(crudjt.InvalidParameter) as caught:
            call(store, name, request)
        assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    ("parameter", "name", "request_"),
    [
        ("max_reads", "Create", pb.CreateRequest(data=b"\x80", limits=pb.Limits(max_reads=2**63))),
        ("max_reads", "Create", pb.CreateRequest(data=b"\x80", limits=pb.Limits(max_reads=0))),
        ("max_reads", "Update", pb.UpdateRequest(token=TOKEN, data=b"\x80", max_reads=pb.Change(value=-1))),
        ("if_version", "Update", pb.UpdateRequest(token=TOKEN, data=b"\x80", if_version=0)),
        ("subject", "Create", pb.CreateRequest(data=b"\x80", subject="")),
        ("subject", "Sessions", pb.SessionsRequest()),
        ("subject", "Revoke", pb.RevokeRequest(subject="x" * 1025)),
        ("id", "RevokeId", pb.RevokeIdRequest(id=b"short")),
        ("id", "Find", pb.FindRequest(id=b"short")),
        ("after", "List", pb.ListRequest(limit=1, after=b"")),
        ("limit", "List", pb.ListRequest()),
        ("created_before", "List", pb.ListRequest(limit=1, created_before_ms=2**63 - 1)),
        ("tokens", "ReadMany", pb.ReadManyRequest(tokens=[""] * (chunking.MAX_ITEMS + 1))),
        ("tokens", "DeleteMany", pb.DeleteManyRequest(tokens=["x" * 1024**2] * 65)),
        ("data", "CreateMany", pb.CreateManyRequest(data=[b"\x80"] * (chunking.MAX_ITEMS + 1))),
    ],
)
def test_a_bad_field_is_refused_by_name(store: crudjt.Store, parameter: str, name: str, request_: Any) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        call(store, name, request_)
    assert caught.value.parameter == parameter


def test_every_duration_of_whole_milliseconds_arrives_exactly(store: crudjt.Store) -> None:
    for ms in (1, 3, 999, 1001, 86_399_999, 31_536_000_007, 1000 * 366 * 86_400 * 1000):
        token = call(store, "Create", pb.CreateRequest(data=b"\x80", limits=pb.Limits(ttl_ms=ms))).token
        session = call(store, "Peek", pb.PeekRequest(token=token)).session
        assert session.expires_ms - session.created_ms == ms


def test_many_of_no_request_is_nothing(store: crudjt.Store) -> None:
    assert list(METHODS["CreateMany"].call(store, iter([]))) == []
    assert list(METHODS["ReadMany"].call(store, iter([]))) == []
    assert METHODS["DeleteMany"].call(store, iter([])) == pb.DeleteManyResponse()


@pytest.mark.parametrize("name", METHODS)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_bytes_get_an_answer_or_an_error_of_ours(store: crudjt.Store, name: str, data: st.DataObject) -> None:
    request = METHODS[name].request()
    for field in request.DESCRIPTOR.fields:
        if field.message_type is None and data.draw(st.booleans()):
            value: Any = data.draw(
                {
                    field.TYPE_BYTES: st.binary(max_size=60),
                    field.TYPE_STRING: st.text(max_size=30),
                    field.TYPE_UINT64: st.integers(0, 2**64 - 1),
                    field.TYPE_UINT32: st.integers(0, 2**32 - 1),
                    field.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
                    field.TYPE_BOOL: st.booleans(),
                }[field.type]
            )
            current = getattr(request, field.name)
            if hasattr(current, "append"):
                current.append(value)
            else:
                setattr(request, field.name, value)
    if name == "Events":
        request.ClearField("follow")  # or it does not end
    with suppress(crudjt.InvalidParameter):
        call(store, name, request)


def test_what_a_service_answers_is_small_enough_for_a_message(store: crudjt.Store) -> None:
    store.create_many([{"x": bytes(4000)}] * 1500, subject="x")
    answers = call(store, "Sessions", pb.SessionsRequest(subject="x"))
    assert sum(len(answer.sessions) for answer in answers) == 1500
    assert max(answer.ByteSize() for answer in answers) < chunking.MAX_MESSAGE_BYTES // 2
    assert msgspec.msgpack.decode(answers[0].sessions[0].data) == {"x": bytes(4000)}
