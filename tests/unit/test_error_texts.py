"""Texts of errors: sentences with the parameter, the mistake and the remedy, and without any secret."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt._rpc.access_tokens import checked_access_tokens
from crudjt._rpc.listening import checked_addresses

SECRET = "Wm9lJ3Mgc2VjcmV0"
NO_KEY = (
    "no secret key: pass secret_key=…, or set CRUDJT_SECRET_KEY or CRUDJT_SECRET_KEY_FILE (to make one: crudjt keygen)"
)
KEY_RULE = "a secret key is Base64 of 32, 48 or 64 bytes (to make one: crudjt keygen)"


@dataclasses.dataclass
class User:
    name: str


class Model:
    def model_dump(self) -> dict[str, Any]:
        return {}


def opened(location: Any = "never-made", **options: Any) -> Callable[[crudjt.Store], object]:
    return lambda _store: crudjt.open(location, **options)


def create(data: Any = None, **limits: Any) -> Callable[[crudjt.Store], object]:
    return lambda store: store.create({} if data is None else data, **limits)


def listening(address: Any) -> Callable[[crudjt.Store], object]:
    return lambda _store: checked_addresses([address], tls=True, access_tokens=True)


def holding(*path: Any, value: Any) -> dict[Any, Any]:
    for key in reversed(path):
        value = {key: value} if isinstance(key, str | bytes | tuple) else [0] * key + [value]
    data: dict[Any, Any] = value
    return data


TYPE, VALUE = crudjt.InvalidType, crudjt.InvalidParameter
STORED = "which cannot be stored"
SURROGATE = "a str with a lone surrogate, which UTF-8 cannot encode"
TEXTS: list[tuple[type[Exception], str, Callable[[crudjt.Store], object]]] = [
    # Data
    (TYPE, "data must be a dict, not list", create(["a"])),
    (TYPE, "data must be a dict, not User; pass dataclasses.asdict() of it", create(User("Zoe"))),
    (TYPE, "data must be a dict, not Model; pass its model_dump()", create(Model())),
    (TYPE, f"data['a'] is of type 'object', {STORED}", create({"a": object()})),
    (
        TYPE,
        f"data['a'][2]['b'] is of type 'object', {STORED}",
        create(holding("a", 2, "b", value=object())),
    ),
    (TYPE, f"data['a'] is of type 'Model', {STORED}; pass its model_dump()", create({"a": Model()})),
    (TYPE, f"data[…] is of type 'range', {STORED}", create({"x" * 22: range(3)})),
    (TYPE, f"data[…] is of type 'range', {STORED}", create({"alice@example": range(3)})),
    (TYPE, f"data[…] is of type 'range', {STORED}", create({5: range(3)})),
    (
        TYPE,
        "data['a'] has a key that is of type 'object', which no key can be; make it a str or an int",
        create({"a": {object(): 1}}),
    ),
    (
        TYPE,
        f"data['a']{'[0]' * 7}… is of type 'object', {STORED}",
        create(holding("a", *[0] * 20, value=object())),
    ),
    (VALUE, "data['a'] is an int of more than 64 bits; store it as a str", create({"a": 2**64})),
    (VALUE, f"data['a'] is {SURROGATE}", create({"a": "\ud800"})),
    (VALUE, f"data has a key that is {SURROGATE}", create({"\ud800": 1})),
    (
        VALUE,
        "data takes 70008 bytes in MessagePack, and at most 65536 are allowed (max_data_bytes)",
        create({"a": "x" * 70_000}),
    ),
    # Limits and subjects
    (TYPE, "ttl must be a number of seconds, a timedelta or None, not str", create(ttl="60")),
    (VALUE, "ttl must be above 0 and at most 31622400000 seconds (1000 years), not 0", create(ttl=0)),
    (TYPE, "idle must be a number of seconds, a timedelta or None, not bool", create(idle=True)),
    (TYPE, "max_reads must be an int or None, not float", create(max_reads=1.5)),
    (VALUE, "max_reads must be from 1 to 9223372036854775807, not 0", create(max_reads=0)),
    (TYPE, "subject must be a str, not bytes", create(subject=SECRET.encode())),
    (VALUE, "subject must not be empty; leave it out for a session of no subject", create(subject="")),
    (VALUE, "subject must take at most 1024 bytes in UTF-8, and takes 1600", create(subject=SECRET * 100)),
    (VALUE, "subject must be valid Unicode, without a lone surrogate", create(subject="\ud800")),
    # Tokens and handles
    (TYPE, "token must be a str of 22 characters, not bytes", lambda store: store.read(SECRET.encode())),  # type: ignore[arg-type]
    (TYPE, "keep must be a str of 22 characters, not int", lambda store: store.revoke("x", keep=5)),  # type: ignore[arg-type]
    (TYPE, "tokens must be an iterable of tokens, not a str", lambda store: store.read_many(SECRET)),
    (TYPE, "tokens must be an iterable of tokens, not int", lambda store: store.read_many(5)),  # type: ignore[arg-type]
    (TYPE, "data must be an iterable of dicts, not int", lambda store: store.create_many(5)),  # type: ignore[arg-type]
    (TYPE, "id must be a str (Session.id), not int", lambda store: store.revoke_id(5)),  # type: ignore[arg-type]
    (VALUE, "id must be 32 hexadecimal digits (Session.id)", lambda store: store.revoke_id(SECRET)),
    (TYPE, "if_version must be an int or None, not str", lambda store: store.update("A" * 22, {}, if_version="1")),  # type: ignore[arg-type]
    (
        VALUE,
        "if_version must be at least 1 (Session.version), not 0",
        lambda store: store.update("A" * 22, {}, if_version=0),
    ),
    # Opening
    (VALUE, NO_KEY, opened()),
    (TYPE, "secret_key must be a str of Base64, or a list of such, not bytes", opened(secret_key=SECRET.encode())),
    (TYPE, "secret_key must be a str of Base64, or a list of such, not int", opened(secret_key=[5])),
    (VALUE, f"secret_key is an empty list; {KEY_RULE}", opened(secret_key=[])),
    (VALUE, f"secret_key is blank; {KEY_RULE}", opened(secret_key=" ")),
    (VALUE, f"secret_key decodes to 12 bytes; {KEY_RULE}", opened(secret_key=SECRET)),
    (
        VALUE,
        f"secret_key is not padded Base64; it may be cut off, or lack the '=' at its end; {KEY_RULE}",
        opened(secret_key="A" * 43),
    ),
    (
        VALUE,
        f"secret_key is in the URL-safe alphabet; replace '-' with '+' and '_' with '/'; {KEY_RULE}",
        opened(secret_key="-" * 43 + "="),
    ),
    (VALUE, f"secret_key is not valid Base64; {KEY_RULE}", opened(secret_key="!" * 44)),
    (TYPE, "location must be a str or a path, not int", opened(5, secret_key="A" * 43 + "=")),
    (TYPE, "sync_interval must be a number of seconds, not str", opened(sync_interval="1")),
    (VALUE, "sync_interval must be from 0.001 to 3600 seconds, not 0", opened(sync_interval=0)),
    (TYPE, "max_data_bytes must be an int (bytes), not float", opened(max_data_bytes=1.5)),
    (VALUE, "max_data_bytes must be from 1 to 16777216 bytes, not 0", opened(max_data_bytes=0)),
    (VALUE, "durability must be 'interval' or 'full', not 'none'", opened(durability="none")),
    (
        VALUE,
        (
            "secret_key is not for a location with grpc:, which takes access_token, allow_plaintext, timeout, tls_ca, "
            "tls_cert, tls_key"
        ),
        opened("grpc://host", secret_key=SECRET),
    ),
    (VALUE, "tls_cert and tls_key must be given together", opened("grpcs://host", tls_cert="file")),
    (VALUE, "tls_ca is only for a server with TLS: grpcs://host:port", opened("grpc://host", tls_ca="file")),
    (
        VALUE,
        "an access token must not cross the network in plaintext; use TLS: grpcs://host:port",
        opened("grpc://host", access_token=SECRET),
    ),
    (TYPE, "timeout must be a number of seconds, not str", opened("grpc://localhost", timeout="1")),
    (VALUE, "timeout must be above 0 and at most 3600 seconds, not 0", opened("grpc://localhost", timeout=0)),
    # Servers
    (TYPE, "listen must be a str (HOST:PORT, [IPV6]:PORT or unix:/PATH), not int", listening(5)),
    (VALUE, "listen: port 70000 is out of range (0 to 65535)", listening("127.0.0.1:70000")),
    (TYPE, "access_tokens must be a list of str, not a str", lambda _store: checked_access_tokens(SECRET)),
]


@pytest.mark.parametrize(("kind", "text", "call"), TEXTS, ids=[text[:40] for _, text, _ in TEXTS])
def test_an_error_names_the_parameter_the_mistake_and_the_remedy(
    kind: type[Exception],
    text: str,
    call: Callable[[crudjt.Store], object],
    path: Path,
    secret_key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CRUDJT_SECRET_KEY", "CRUDJT_SECRET_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(path.parent)
    with crudjt.open(path, secret_key=secret_key) as store, pytest.raises(crudjt.InvalidParameter) as caught:
        call(store)
    assert str(caught.value) == text
    assert isinstance(caught.value, kind)
    assert isinstance(caught.value, TypeError) is (kind is TYPE)
    assert SECRET not in str(caught.value)
    assert not Path("never-made").exists()
