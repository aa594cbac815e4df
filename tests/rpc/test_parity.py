"""`RemoteStore` has the face of `Store`."""

import subprocess
import sys

import pytest

from crudjt._backends.grpc.store import RemoteStore
from tests.support.interface import SIGNATURES, called


@pytest.mark.parametrize("name", SIGNATURES)
def test_each_method_is_called_as_that_of_an_embedded_store(name: str) -> None:
    assert called(vars(RemoteStore)[name]) == SIGNATURES[name]


def test_crudjt_does_not_import_grpc_before_it_is_needed() -> None:
    """It would double the time that the import takes."""
    code = "import sys, crudjt; sys.exit('grpc' in sys.modules or 'google.protobuf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
