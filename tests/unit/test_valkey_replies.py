"""What the errors of servers mean."""

import pytest

from crudjt._backends.valkey.replies import MEANINGS, ErrorReply, Meaning, address, reason, store_error
from crudjt._backends.valkey.requests import Node
from crudjt.errors import StoreFailed, StoreFull, StoreInaccessible, StoreUnavailable

NODE = Node("127.0.0.1", 7000)


def test_every_word_that_the_client_library_knows_has_a_meaning() -> None:
    cluster = pytest.importorskip("valkey.cluster")
    assert set(cluster.ClusterParser.EXCEPTION_CLASSES) <= set(MEANINGS)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", StoreFull),
        ("MISCONF Errors writing to the AOF file: No space left on device", StoreFull),
        ("NOAUTH Authentication required.", StoreInaccessible),
        ("WRONGPASS invalid username-password pair or user is disabled.", StoreInaccessible),
        ("NOPERM User app has no permissions to run the 'get' command", StoreInaccessible),
        ("ERR This instance has cluster support disabled", StoreInaccessible),
        ("CLUSTERDOWN The cluster is down", StoreUnavailable),
        ("LOADING Redis is loading the dataset in memory", StoreUnavailable),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", StoreFailed),
        ("ERR something else", StoreFailed),
        ("NEWWORD of a later version", StoreFailed),
    ],
)
def test_error_of_a_server_becomes_an_error_of_the_store(reply: str, kind: type[Exception]) -> None:
    error = store_error(ErrorReply(reply), NODE, "valkey://127.0.0.1:7000")
    assert type(error) is kind
    assert "127.0.0.1:7000: " in str(error)


@pytest.mark.parametrize(
    "reply",
    [
        "NOPERM User app has no permissions to run the 'getrange' command",
        "NOPERM this user has no permissions to run the 'getrange' command",
    ],
)
def test_missing_right_is_named_with_its_remedy(reply: str) -> None:
    assert "+getrange" in reason(ErrorReply(reply))


def test_right_of_a_subcommand_is_named() -> None:
    assert "+cluster|slots" in reason(ErrorReply("NOPERM User a has no permissions to run the 'cluster|slots' command"))


@pytest.mark.parametrize(
    "reply",
    [
        "NOPERM User app has no permissions to access the 'crudjt:{abc}ssecret' key",
        "ERR unknown command 'GETDEL', with args beginning with: 'secret' ",
        "ERR something, with args beginning with: 'secret'",
    ],
)
def test_no_key_is_in_an_error(reply: str) -> None:
    error = ErrorReply(reply)
    shown = [str(error), repr(error), reason(error), str(store_error(error, NODE, "valkey://h"))]
    assert not any("secret" in text for text in shown)


def test_text_decides_where_the_word_does_not() -> None:
    assert ErrorReply("ERR max number of clients reached").meaning is Meaning.LATER
    assert ErrorReply("ERR unknown command 'FOO'").meaning is Meaning.DENIED


def test_ipv6_address_is_written_in_brackets() -> None:
    assert address(Node("::1", 7000)) == "[::1]:7000"
