"""The embedded engine: a log that is the truth, and a view of it that every process maps.

Nothing in here knows gRPC, click or a framework.
"""
