"""Classes for the messages of market.proto, built from the descriptor set that build.rs writes."""

import os

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def _load(path):
    with open(path, "rb") as file:
        files = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for proto in files.file:  # imported files come first
        pool.AddSerializedFile(proto.SerializeToString())
    return pool


_pool = _load(os.environ["MARKET_DESCRIPTORS"])


def message(name):
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"market.v1.{name}"))


Trade = message("Trade")
Tick = message("Tick")
CountsRequest = message("CountsRequest")
CountsReply = message("CountsReply")
