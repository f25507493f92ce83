"""The messages of `plain_service.py` by betterproto, which skips fields of an unknown wire type."""

from dataclasses import dataclass

import betterproto

# betterproto raises ValueError, IndexError, EOFError and others.
DecodeError = Exception


@dataclass
class Empty(betterproto.Message):
    pass


@dataclass
class BytesValue(betterproto.Message):
    value: bytes = betterproto.bytes_field(1)


@dataclass
class Int32Value(betterproto.Message):
    value: int = betterproto.int32_field(1)


@dataclass
class UInt32Value(betterproto.Message):
    value: int = betterproto.uint32_field(1)


@dataclass
class UInt64Value(betterproto.Message):
    value: int = betterproto.uint64_field(1)
