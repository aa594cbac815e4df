"""``token.TokenService`` as functions of a store: bytes on the wire, time, and hostile requests."""

import tracemalloc
from typing import Any

import msgspec
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crudjt
from crudjt.errors import InvalidParameter
from crudjt.server.services.original import METHODS, NAME
from crudjt.testing import FakeClock

DATA = b"\x81\xa1a\x01"  # {"a": 1}
STRANGE = {
    "nothing": b"",
    "no map": b"\x01",
    "nil": b"\xc0",
    "cut": b"\x81\xa1a",
    "more than one": b"\x80\x80",
    "a map of four billion entries": b"\xdf\xff\xff\xff\xff",
    "an array of four billion items": b"\x81\x01\xdd\xff\xff\xff\xff",
    "a text of four gigabytes": b"\x81\x01\xdb\xff\xff\xff\xff",
    "nested without end": b"\x91" * 2304,
    "maps in maps": b"\x81\x01" * 1152,
    "a key that is a map": b"\x81\x80\x01",
    "no UTF-8": b"\x81\xa1\xff\x01",
    "a byte that means nothing": b"\xc1",
    "four megabytes": b"\x80" * 2**22,
}


def call(store: crudjt.Store, name: str, **fields: Any) -> Any:
    """Send a request through its bytes, and return the response."""
    method = METHODS[name]
    request = method.request.FromString(method.request(**fields).SerializeToString())
    response = method.call(store, request)
    assert isinstance(response, method.response)
    return response


def create(store: crudjt.Store, ttl: int = -1, silence_read: int = -1) -> str:
    token: str = call(store, "CreateToken", packed_data=DATA, ttl=ttl, silence_read=silence_read).token
    return token


def read(store: crudjt.Store, token: str) -> Any:
    return msgspec.msgpack.decode(call(store, "ReadToken", token=token).packed_data)


def test_the_service_has_the_name_and_the_calls_of_the_original() -> None:
    assert NAME == "token.TokenService"
    assert METHODS.keys() == {"CreateToken", "ReadToken", "UpdateToken", "DeleteToken"}


def test_requests_and_responses_are_these_bytes(store: crudjt.Store) -> None:
    """As the .proto file of the original numbers them: written out, so that no change of ours goes unnoticed."""

    def answered(name: str, request: bytes) -> bytes:
        method = METHODS[name]
        response: bytes = method.call(store, method.request.FromString(request)).SerializeToString()
        return response

    minus_one = b"\xff" * 9 + b"\x01"
    created = answered("CreateToken", b"\x0a\x04\x81\xa1a\x01" + b"\x10" + minus_one + b"\x18" + minus_one)
    assert created[:2] == b"\x0a\x16"
    token = created[1:]  # with its length
    assert answered("ReadToken", b"\x0a" + token) == b"\x0a\x0a\x81\xa4data\x81\xa1a\x01"
    assert answered("UpdateToken", b"\x0a" + token + b"\x12\x01\x80" + b"\x18\x64" + b"\x20\x05") == b"\x08\x01"
    assert answered("ReadToken", b"\x0a" + token) == (
        b"\x0a\x24\x82\xa8metadata\x82\xa3ttl\x64\xacsilence_read\x04\xa4data\x80"
    )
    assert answered("DeleteToken", b"\x0a" + token) == b"\x08\x01"
    assert answered("DeleteToken", b"\x0a" + token) == b""  # false is not written
    assert answered("UpdateToken", b"\x0a" + token + b"\x12\x01\x80") == b""
    assert answered("ReadToken", b"\x0a" + token) == b"\x0a\x01\xc0"  # nil


def test_the_seconds_left_are_rounded_up(store: crudjt.Store, clock: FakeClock) -> None:
    token = create(store, ttl=100)
    seen = []
    for seconds in (0, 0.5, 0.5, 98, 0.999):
        clock.advance(seconds)
        seen.append(read(store, token)["metadata"]["ttl"])
    assert seen == [100, 100, 99, 1, 1]
    clock.advance(0.001)
    assert read(store, token) is None
    assert not call(store, "UpdateToken", token=token, packed_data=DATA, ttl=5).result
    assert not call(store, "DeleteToken", token=token).result


def test_an_update_starts_the_lifetime_again(store: crudjt.Store, clock: FakeClock) -> None:
    token = create(store, ttl=100)
    clock.advance(99)
    assert call(store, "UpdateToken", token=token, packed_data=DATA, ttl=100).result
    clock.advance(99)
    assert read(store, token)["metadata"] == {"ttl": 1}


def test_the_last_read_of_a_limited_token_shows_zero(store: crudjt.Store) -> None:
    token = create(store, silence_read=2)
    assert [read(store, token) for _ in range(3)] == [
        {"metadata": {"silence_read": 1}, "data": {"a": 1}},
        {"metadata": {"silence_read": 0}, "data": {"a": 1}},
        None,
    ]


def test_data_may_be_spelled_at_length(store: crudjt.Store) -> None:
    """256 bytes count as MessagePack is shortest; clients need not spell it so."""
    numbers = b"\xdd\x00\x00\x00\xf0" + (b"\xd3" + (1).to_bytes(8, "big")) * 240
    token = call(store, "CreateToken", packed_data=b"\x81\xa1a" + numbers).token
    assert read(store, token) == {"data": {"a": [1] * 240}}


@pytest.mark.parametrize("packed", STRANGE.values(), ids=STRANGE)
def test_what_is_no_map_of_256_bytes_is_refused(store: crudjt.Store, packed: bytes) -> None:
    token = create(store)
    for name, fields in (("CreateToken", {}), ("UpdateToken", {"token": token})):
        with pytest.raises(InvalidParameter) as caught:
            call(store, name, packed_data=packed, **fields)
        assert len(str(caught.value)) < 120
        assert caught.value.__cause__ is None
    assert read(store, token) == {"data": {"a": 1}}
    assert store.stats().sessions == 1


def test_a_large_request_is_refused_before_it_is_unpacked(store: crudjt.Store) -> None:
    """Four megabytes can spell four million maps, of 64 bytes each."""
    packed = b"\x81\xa1a\xdd" + (2**22).to_bytes(4, "big") + b"\x80" * 2**22
    request = METHODS["CreateToken"].request(packed_data=packed)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidParameter, match=r"^Hash can not be bigger than 256 bytesize$"):
            METHODS["CreateToken"].call(store, request)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(packed)
    finally:
        tracemalloc.stop()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(METHODS)), request=st.binary(max_size=200))
def test_random_bytes_are_answered_or_refused(store: crudjt.Store, name: str, request: bytes) -> None:
    method = METHODS[name]
    try:
        message = method.request.FromString(request)
    except DecodeError:
        return
    try:
        response = method.call(store, message)
    except InvalidParameter:
        return
    response.SerializeToString()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    packed=st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda tail: b"\x81\xa1a" + tail)),
    ttl=st.integers(-(2**63), 2**63 - 1),
    silence_read=st.integers(-(2**63), 2**63 - 1),
)
def test_random_sessions_are_kept_or_refused(store: crudjt.Store, packed: bytes, ttl: int, silence_read: int) -> None:
    try:
        token = call(store, "CreateToken", packed_data=packed, ttl=ttl, silence_read=silence_read).token
    except InvalidParameter:
        return
    assert read(store, token)["data"] == msgspec.msgpack.decode(packed)
