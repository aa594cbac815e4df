"""The process that has the store, and lends it to others over gRPC.

    python master.py DIRECTORY [PORT]

Needs CRUDJT_SECRET_KEY. Ends when its input does.
"""

import os
import sys

from crudjt import CRUDJT


def main() -> None:
    """Serve until there is nobody to serve for."""
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 50051
    CRUDJT.Config.start_master(
        secret_key=os.environ["CRUDJT_SECRET_KEY"], store_jt_path=sys.argv[1], grpc_host="127.0.0.1", grpc_port=port
    )
    print("serving", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
