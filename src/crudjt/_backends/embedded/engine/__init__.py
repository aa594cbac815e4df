"""The embedded engine: an authoritative log, and a view of it that every process maps.

It imports no gRPC, click or framework.
"""
