"""Another process, which reaches the store of a master over gRPC: ``python client.py [PORT]``."""

import sys

from crudjt import CRUDJT


def main() -> None:
    """Live through a session."""
    CRUDJT.Config.connect_to_master(grpc_host="127.0.0.1", grpc_port=int(sys.argv[1]) if len(sys.argv) > 1 else 50051)

    token = CRUDJT.create({"user_id": 42, "role": 11}, 3600, 3)
    print("read:", CRUDJT.read(token))
    print("update:", CRUDJT.update(token, {"user_id": 42, "role": 8}))
    print("read:", CRUDJT.read(token))
    print("delete:", CRUDJT.delete(token))
    print("read:", CRUDJT.read(token))


if __name__ == "__main__":
    main()
