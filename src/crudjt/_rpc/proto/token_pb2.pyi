from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class CreateTokenRequest(_message.Message):
    __slots__ = ("packed_data", "ttl", "silence_read")
    PACKED_DATA_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    SILENCE_READ_FIELD_NUMBER: _ClassVar[int]
    packed_data: bytes
    ttl: int
    silence_read: int
    def __init__(self, packed_data: _Optional[bytes] = ..., ttl: _Optional[int] = ..., silence_read: _Optional[int] = ...) -> None: ...

class CreateTokenResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class ReadTokenRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class ReadTokenResponse(_message.Message):
    __slots__ = ("packed_data",)
    PACKED_DATA_FIELD_NUMBER: _ClassVar[int]
    packed_data: bytes
    def __init__(self, packed_data: _Optional[bytes] = ...) -> None: ...

class UpdateTokenRequest(_message.Message):
    __slots__ = ("token", "packed_data", "ttl", "silence_read")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    PACKED_DATA_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    SILENCE_READ_FIELD_NUMBER: _ClassVar[int]
    token: str
    packed_data: bytes
    ttl: int
    silence_read: int
    def __init__(self, token: _Optional[str] = ..., packed_data: _Optional[bytes] = ..., ttl: _Optional[int] = ..., silence_read: _Optional[int] = ...) -> None: ...

class UpdateTokenResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: bool
    def __init__(self, result: bool = ...) -> None: ...

class DeleteTokenRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class DeleteTokenResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: bool
    def __init__(self, result: bool = ...) -> None: ...
