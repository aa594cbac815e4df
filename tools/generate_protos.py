"""Generate the Python modules of the protocols, beside their .proto files: ``python tools/generate_protos.py``.

The compiler is pinned: what it generates runs on every protobuf from its own version (6.30) to the end of the next
major one, which is the range that pyproject.toml names. It is installed into a virtual environment that is thrown
away, since it would not go with a newer protobuf in one environment.
"""

import subprocess
import tempfile
import venv
from pathlib import Path

COMPILER = ("grpcio-tools==1.72.2", "setuptools<81")  # the first imports pkg_resources of the second
SOURCE = Path(__file__).parents[1] / "src"
PROTOS = sorted((SOURCE / "crudjt" / "_rpc" / "proto").rglob("*.proto"))


def main() -> None:
    """Install the compiler, and run it over every .proto file."""
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=True)
        python = Path(directory) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", *COMPILER], check=True)
        outputs = [f"--proto_path={SOURCE}", f"--python_out={SOURCE}", f"--pyi_out={SOURCE}"]
        subprocess.run([python, "-m", "grpc_tools.protoc", *outputs, *PROTOS], check=True)


if __name__ == "__main__":
    main()
