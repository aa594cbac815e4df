"""Channel options that every client needs."""

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    # Nothing may make gRPC repeat a call that may have been carried out: no retries from the name service.
    ("grpc.service_config_disable_resolution", 1),
    # A connection of its own for each channel: a forked child would otherwise be given that of its parent.
    ("grpc.use_local_subchannel_pool", 1),
    # The server is not behind a web proxy, and a proxy named by the environment must not see the access token.
    ("grpc.enable_http_proxy", 0),
    # Connect again soon after a restart of the server.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Disconnect before the server does (`crudjt.server.transport`), so that no call meets a connection that closes.
    ("grpc.client_idle_timeout_ms", 240_000),
)
