"""The examples of docs/golden.json, which docs/PROTOCOL.md shows."""

import json
import pathlib

_PATH = pathlib.Path(__file__).resolve().parents[2] / "docs" / "golden.json"
_EXAMPLES = {example["name"]: example for example in json.loads(_PATH.read_text())["examples"]}


class Example:
    """One message on the wire. Text between `<` and `>` stands for what differs from run to run."""

    def __init__(self, name):
        example = _EXAMPLES[name]
        self.name = name
        self.subject = example["subject"]
        self.headers = dict(example["headers"])
        self.payload = bytes.fromhex(example["payload"])

    def at(self, service_base):
        """Returns the subject under this service base."""
        return self.subject.replace("<service base>", service_base)

    def check(self, message, other_headers=()):
        """Checks headers and payload of a message, which may have other headers of these names."""
        found = dict(message.headers or {})
        for name, value in self.headers.items():
            assert value.startswith("<") or found.get(name) == value, (self.name, name, found)
        unexpected = set(found) - set(self.headers) - set(other_headers)
        assert not unexpected, (self.name, unexpected)
        assert message.data == self.payload, (self.name, message.data)
