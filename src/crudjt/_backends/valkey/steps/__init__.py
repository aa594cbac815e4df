"""The operations of a store as steps: generators that yield requests and are sent replies, without input or output.

Each fetches records, has `_core.operations.Sessions` decide, and commits the changes; if a record has changed since it
was fetched, it decides again. What is done about a reply that was lost is decided here as well, since only an operation
knows whether it may be carried out twice.
"""
