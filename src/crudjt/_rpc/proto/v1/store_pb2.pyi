from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Limits(_message.Message):
    __slots__ = ("ttl_ms", "idle_ms", "max_reads")
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    IDLE_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_READS_FIELD_NUMBER: _ClassVar[int]
    ttl_ms: int
    idle_ms: int
    max_reads: int
    def __init__(self, ttl_ms: _Optional[int] = ..., idle_ms: _Optional[int] = ..., max_reads: _Optional[int] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: int
    def __init__(self, value: _Optional[int] = ...) -> None: ...

class SessionLimit(_message.Message):
    __slots__ = ("max_sessions", "refuse")
    MAX_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    REFUSE_FIELD_NUMBER: _ClassVar[int]
    max_sessions: int
    refuse: bool
    def __init__(self, max_sessions: _Optional[int] = ..., refuse: bool = ...) -> None: ...

class SubjectChange(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: str
    def __init__(self, value: _Optional[str] = ...) -> None: ...

class Client(_message.Message):
    __slots__ = ("address", "agent")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    address: str
    agent: str
    def __init__(self, address: _Optional[str] = ..., agent: _Optional[str] = ...) -> None: ...

class KeyChange(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: str
    def __init__(self, value: _Optional[str] = ...) -> None: ...

class LabelsChange(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("data", "id", "subject", "version", "created_ms", "expires_ms", "reads_left", "expires_in", "last_seen_ms", "client", "bound_to", "labels", "of_older_key")
    DATA_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_MS_FIELD_NUMBER: _ClassVar[int]
    READS_LEFT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_IN_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    BOUND_TO_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    OF_OLDER_KEY_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    id: bytes
    subject: str
    version: int
    created_ms: int
    expires_ms: int
    reads_left: int
    expires_in: float
    last_seen_ms: int
    client: Client
    bound_to: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    of_older_key: bool
    def __init__(self, data: _Optional[bytes] = ..., id: _Optional[bytes] = ..., subject: _Optional[str] = ..., version: _Optional[int] = ..., created_ms: _Optional[int] = ..., expires_ms: _Optional[int] = ..., reads_left: _Optional[int] = ..., expires_in: _Optional[float] = ..., last_seen_ms: _Optional[int] = ..., client: _Optional[_Union[Client, _Mapping]] = ..., bound_to: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., of_older_key: bool = ...) -> None: ...

class CreateRequest(_message.Message):
    __slots__ = ("data", "limits", "subject", "session_limit", "client", "bound_to", "labels")
    DATA_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SESSION_LIMIT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    BOUND_TO_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    limits: Limits
    subject: str
    session_limit: SessionLimit
    client: Client
    bound_to: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, data: _Optional[bytes] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., subject: _Optional[str] = ..., session_limit: _Optional[_Union[SessionLimit, _Mapping]] = ..., client: _Optional[_Union[Client, _Mapping]] = ..., bound_to: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ...) -> None: ...

class CreateResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class ReadRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class ReadResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: Session
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class PeekRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class PeekResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: Session
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class UpdateRequest(_message.Message):
    __slots__ = ("token", "data", "ttl", "idle", "max_reads", "if_version")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    MAX_READS_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    token: str
    data: bytes
    ttl: Change
    idle: Change
    max_reads: Change
    if_version: int
    def __init__(self, token: _Optional[str] = ..., data: _Optional[bytes] = ..., ttl: _Optional[_Union[Change, _Mapping]] = ..., idle: _Optional[_Union[Change, _Mapping]] = ..., max_reads: _Optional[_Union[Change, _Mapping]] = ..., if_version: _Optional[int] = ...) -> None: ...

class UpdateResponse(_message.Message):
    __slots__ = ("found",)
    FOUND_FIELD_NUMBER: _ClassVar[int]
    found: bool
    def __init__(self, found: bool = ...) -> None: ...

class TouchRequest(_message.Message):
    __slots__ = ("token", "ttl", "idle")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    token: str
    ttl: Change
    idle: Change
    def __init__(self, token: _Optional[str] = ..., ttl: _Optional[_Union[Change, _Mapping]] = ..., idle: _Optional[_Union[Change, _Mapping]] = ...) -> None: ...

class TouchResponse(_message.Message):
    __slots__ = ("found",)
    FOUND_FIELD_NUMBER: _ClassVar[int]
    found: bool
    def __init__(self, found: bool = ...) -> None: ...

class RotateRequest(_message.Message):
    __slots__ = ("token", "data", "subject", "ttl", "idle", "if_version", "session_limit", "client", "bound_to", "labels")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_LIMIT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    BOUND_TO_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    token: str
    data: bytes
    subject: SubjectChange
    ttl: Change
    idle: Change
    if_version: int
    session_limit: SessionLimit
    client: Client
    bound_to: KeyChange
    labels: LabelsChange
    def __init__(self, token: _Optional[str] = ..., data: _Optional[bytes] = ..., subject: _Optional[_Union[SubjectChange, _Mapping]] = ..., ttl: _Optional[_Union[Change, _Mapping]] = ..., idle: _Optional[_Union[Change, _Mapping]] = ..., if_version: _Optional[int] = ..., session_limit: _Optional[_Union[SessionLimit, _Mapping]] = ..., client: _Optional[_Union[Client, _Mapping]] = ..., bound_to: _Optional[_Union[KeyChange, _Mapping]] = ..., labels: _Optional[_Union[LabelsChange, _Mapping]] = ...) -> None: ...

class RotateResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("found",)
    FOUND_FIELD_NUMBER: _ClassVar[int]
    found: bool
    def __init__(self, found: bool = ...) -> None: ...

class BatchRequest(_message.Message):
    __slots__ = ("operations",)
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[Operation]
    def __init__(self, operations: _Optional[_Iterable[_Union[Operation, _Mapping]]] = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ("create", "read", "peek", "update", "touch", "rotate", "delete")
    CREATE_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    PEEK_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    TOUCH_FIELD_NUMBER: _ClassVar[int]
    ROTATE_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    create: CreateRequest
    read: ReadRequest
    peek: PeekRequest
    update: UpdateRequest
    touch: TouchRequest
    rotate: RotateRequest
    delete: DeleteRequest
    def __init__(self, create: _Optional[_Union[CreateRequest, _Mapping]] = ..., read: _Optional[_Union[ReadRequest, _Mapping]] = ..., peek: _Optional[_Union[PeekRequest, _Mapping]] = ..., update: _Optional[_Union[UpdateRequest, _Mapping]] = ..., touch: _Optional[_Union[TouchRequest, _Mapping]] = ..., rotate: _Optional[_Union[RotateRequest, _Mapping]] = ..., delete: _Optional[_Union[DeleteRequest, _Mapping]] = ...) -> None: ...

class BatchResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("create", "read", "peek", "update", "touch", "rotate", "delete", "failure")
    CREATE_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    PEEK_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    TOUCH_FIELD_NUMBER: _ClassVar[int]
    ROTATE_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    create: CreateResponse
    read: ReadResponse
    peek: PeekResponse
    update: UpdateResponse
    touch: TouchResponse
    rotate: RotateResponse
    delete: DeleteResponse
    failure: Failure
    def __init__(self, create: _Optional[_Union[CreateResponse, _Mapping]] = ..., read: _Optional[_Union[ReadResponse, _Mapping]] = ..., peek: _Optional[_Union[PeekResponse, _Mapping]] = ..., update: _Optional[_Union[UpdateResponse, _Mapping]] = ..., touch: _Optional[_Union[TouchResponse, _Mapping]] = ..., rotate: _Optional[_Union[RotateResponse, _Mapping]] = ..., delete: _Optional[_Union[DeleteResponse, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "details", "error")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    code: int
    details: str
    error: Error
    def __init__(self, code: _Optional[int] = ..., details: _Optional[str] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class SessionsRequest(_message.Message):
    __slots__ = ("subject",)
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    def __init__(self, subject: _Optional[str] = ...) -> None: ...

class SessionsResponse(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[Session]
    def __init__(self, sessions: _Optional[_Iterable[_Union[Session, _Mapping]]] = ...) -> None: ...

class RevokeRequest(_message.Message):
    __slots__ = ("subject", "keep", "label")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    subject: str
    keep: str
    label: str
    def __init__(self, subject: _Optional[str] = ..., keep: _Optional[str] = ..., label: _Optional[str] = ...) -> None: ...

class RevokeResponse(_message.Message):
    __slots__ = ("ended",)
    ENDED_FIELD_NUMBER: _ClassVar[int]
    ended: int
    def __init__(self, ended: _Optional[int] = ...) -> None: ...

class RevokeIdRequest(_message.Message):
    __slots__ = ("id", "subject")
    ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    subject: str
    def __init__(self, id: _Optional[bytes] = ..., subject: _Optional[str] = ...) -> None: ...

class RevokeIdResponse(_message.Message):
    __slots__ = ("found",)
    FOUND_FIELD_NUMBER: _ClassVar[int]
    found: bool
    def __init__(self, found: bool = ...) -> None: ...

class CreateManyRequest(_message.Message):
    __slots__ = ("data", "limits", "subject")
    DATA_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    data: _containers.RepeatedScalarFieldContainer[bytes]
    limits: Limits
    subject: str
    def __init__(self, data: _Optional[_Iterable[bytes]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., subject: _Optional[str] = ...) -> None: ...

class CreateManyResponse(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class ReadManyRequest(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class ReadManyResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ReadResponse]
    def __init__(self, results: _Optional[_Iterable[_Union[ReadResponse, _Mapping]]] = ...) -> None: ...

class DeleteManyRequest(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteManyResponse(_message.Message):
    __slots__ = ("ended",)
    ENDED_FIELD_NUMBER: _ClassVar[int]
    ended: int
    def __init__(self, ended: _Optional[int] = ...) -> None: ...

class StatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatsResponse(_message.Message):
    __slots__ = ("sessions", "log_bytes", "unsynced_bytes", "view_bytes", "max_size", "synced_ms", "swept_ms", "compacted_ms", "cache_bytes", "max_cache_bytes", "memory_bytes", "max_memory_bytes", "primaries", "replicas")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    LOG_BYTES_FIELD_NUMBER: _ClassVar[int]
    UNSYNCED_BYTES_FIELD_NUMBER: _ClassVar[int]
    VIEW_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_SIZE_FIELD_NUMBER: _ClassVar[int]
    SYNCED_MS_FIELD_NUMBER: _ClassVar[int]
    SWEPT_MS_FIELD_NUMBER: _ClassVar[int]
    COMPACTED_MS_FIELD_NUMBER: _ClassVar[int]
    CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    PRIMARIES_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    sessions: int
    log_bytes: int
    unsynced_bytes: int
    view_bytes: int
    max_size: int
    synced_ms: int
    swept_ms: int
    compacted_ms: int
    cache_bytes: int
    max_cache_bytes: int
    memory_bytes: int
    max_memory_bytes: int
    primaries: int
    replicas: int
    def __init__(self, sessions: _Optional[int] = ..., log_bytes: _Optional[int] = ..., unsynced_bytes: _Optional[int] = ..., view_bytes: _Optional[int] = ..., max_size: _Optional[int] = ..., synced_ms: _Optional[int] = ..., swept_ms: _Optional[int] = ..., compacted_ms: _Optional[int] = ..., cache_bytes: _Optional[int] = ..., max_cache_bytes: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., max_memory_bytes: _Optional[int] = ..., primaries: _Optional[int] = ..., replicas: _Optional[int] = ...) -> None: ...

class SweepRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SweepResponse(_message.Message):
    __slots__ = ("removed",)
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    removed: int
    def __init__(self, removed: _Optional[int] = ...) -> None: ...

class SyncRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SyncResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CountRequest(_message.Message):
    __slots__ = ("subject",)
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    def __init__(self, subject: _Optional[str] = ...) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: int
    def __init__(self, sessions: _Optional[int] = ...) -> None: ...

class FindRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    def __init__(self, id: _Optional[bytes] = ...) -> None: ...

class FindResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: Session
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("after", "limit", "subject", "created_before_ms", "data")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    CREATED_BEFORE_MS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    after: bytes
    limit: int
    subject: str
    created_before_ms: int
    data: bool
    def __init__(self, after: _Optional[bytes] = ..., limit: _Optional[int] = ..., subject: _Optional[str] = ..., created_before_ms: _Optional[int] = ..., data: bool = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("sessions", "next")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[Session]
    next: bytes
    def __init__(self, sessions: _Optional[_Iterable[_Union[Session, _Mapping]]] = ..., next: _Optional[bytes] = ...) -> None: ...

class EventsRequest(_message.Message):
    __slots__ = ("after", "follow")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    after: str
    follow: bool
    def __init__(self, after: _Optional[str] = ..., follow: bool = ...) -> None: ...

class EventsResponse(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("kind", "position", "time_us", "exact", "id", "subject", "version", "previous_id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_ID_FIELD_NUMBER: _ClassVar[int]
    kind: str
    position: str
    time_us: int
    exact: bool
    id: bytes
    subject: str
    version: int
    previous_id: bytes
    def __init__(self, kind: _Optional[str] = ..., position: _Optional[str] = ..., time_us: _Optional[int] = ..., exact: bool = ..., id: _Optional[bytes] = ..., subject: _Optional[str] = ..., version: _Optional[int] = ..., previous_id: _Optional[bytes] = ...) -> None: ...

class BackupRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BackupResponse(_message.Message):
    __slots__ = ("directory", "file", "content")
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    directory: str
    file: str
    content: bytes
    def __init__(self, directory: _Optional[str] = ..., file: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("invalid_parameter", "data_too_large", "version_conflict", "store_closed", "store_busy", "store_full", "store_failed", "store_inaccessible", "store_format_error", "store_corrupt", "store_unavailable", "invalid_type", "store_moved", "too_many_sessions")
    INVALID_PARAMETER_FIELD_NUMBER: _ClassVar[int]
    DATA_TOO_LARGE_FIELD_NUMBER: _ClassVar[int]
    VERSION_CONFLICT_FIELD_NUMBER: _ClassVar[int]
    STORE_CLOSED_FIELD_NUMBER: _ClassVar[int]
    STORE_BUSY_FIELD_NUMBER: _ClassVar[int]
    STORE_FULL_FIELD_NUMBER: _ClassVar[int]
    STORE_FAILED_FIELD_NUMBER: _ClassVar[int]
    STORE_INACCESSIBLE_FIELD_NUMBER: _ClassVar[int]
    STORE_FORMAT_ERROR_FIELD_NUMBER: _ClassVar[int]
    STORE_CORRUPT_FIELD_NUMBER: _ClassVar[int]
    STORE_UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    INVALID_TYPE_FIELD_NUMBER: _ClassVar[int]
    STORE_MOVED_FIELD_NUMBER: _ClassVar[int]
    TOO_MANY_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    invalid_parameter: InvalidParameter
    data_too_large: DataTooLarge
    version_conflict: VersionConflict
    store_closed: StoreClosed
    store_busy: StoreBusy
    store_full: StoreFull
    store_failed: StoreFailed
    store_inaccessible: StoreInaccessible
    store_format_error: StoreFormatError
    store_corrupt: StoreCorrupt
    store_unavailable: StoreUnavailable
    invalid_type: InvalidType
    store_moved: StoreMoved
    too_many_sessions: TooManySessions
    def __init__(self, invalid_parameter: _Optional[_Union[InvalidParameter, _Mapping]] = ..., data_too_large: _Optional[_Union[DataTooLarge, _Mapping]] = ..., version_conflict: _Optional[_Union[VersionConflict, _Mapping]] = ..., store_closed: _Optional[_Union[StoreClosed, _Mapping]] = ..., store_busy: _Optional[_Union[StoreBusy, _Mapping]] = ..., store_full: _Optional[_Union[StoreFull, _Mapping]] = ..., store_failed: _Optional[_Union[StoreFailed, _Mapping]] = ..., store_inaccessible: _Optional[_Union[StoreInaccessible, _Mapping]] = ..., store_format_error: _Optional[_Union[StoreFormatError, _Mapping]] = ..., store_corrupt: _Optional[_Union[StoreCorrupt, _Mapping]] = ..., store_unavailable: _Optional[_Union[StoreUnavailable, _Mapping]] = ..., invalid_type: _Optional[_Union[InvalidType, _Mapping]] = ..., store_moved: _Optional[_Union[StoreMoved, _Mapping]] = ..., too_many_sessions: _Optional[_Union[TooManySessions, _Mapping]] = ...) -> None: ...

class InvalidParameter(_message.Message):
    __slots__ = ("parameter", "problem")
    PARAMETER_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    parameter: str
    problem: str
    def __init__(self, parameter: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class InvalidType(_message.Message):
    __slots__ = ("parameter", "problem")
    PARAMETER_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    parameter: str
    problem: str
    def __init__(self, parameter: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class DataTooLarge(_message.Message):
    __slots__ = ("size", "limit")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    size: int
    limit: int
    def __init__(self, size: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class TooManySessions(_message.Message):
    __slots__ = ("max_sessions",)
    MAX_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    max_sessions: int
    def __init__(self, max_sessions: _Optional[int] = ...) -> None: ...

class VersionConflict(_message.Message):
    __slots__ = ("expected", "actual")
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    expected: int
    actual: int
    def __init__(self, expected: _Optional[int] = ..., actual: _Optional[int] = ...) -> None: ...

class StoreClosed(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StoreBusy(_message.Message):
    __slots__ = ("path", "reason", "waited")
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WAITED_FIELD_NUMBER: _ClassVar[int]
    path: str
    reason: str
    waited: float
    def __init__(self, path: _Optional[str] = ..., reason: _Optional[str] = ..., waited: _Optional[float] = ...) -> None: ...

class StoreFull(_message.Message):
    __slots__ = ("path", "reason")
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    path: str
    reason: str
    def __init__(self, path: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class StoreFailed(_message.Message):
    __slots__ = ("path", "reason")
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    path: str
    reason: str
    def __init__(self, path: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class StoreInaccessible(_message.Message):
    __slots__ = ("path", "reason")
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    path: str
    reason: str
    def __init__(self, path: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class StoreMoved(_message.Message):
    __slots__ = ("path", "reason")
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    path: str
    reason: str
    def __init__(self, path: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class StoreFormatError(_message.Message):
    __slots__ = ("path", "found", "supported")
    PATH_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    SUPPORTED_FIELD_NUMBER: _ClassVar[int]
    path: str
    found: int
    supported: int
    def __init__(self, path: _Optional[str] = ..., found: _Optional[int] = ..., supported: _Optional[int] = ...) -> None: ...

class StoreCorrupt(_message.Message):
    __slots__ = ("path", "offset", "reason")
    PATH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    path: str
    offset: int
    reason: str
    def __init__(self, path: _Optional[str] = ..., offset: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class StoreUnavailable(_message.Message):
    __slots__ = ("location", "reason")
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    location: str
    reason: str
    def __init__(self, location: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
