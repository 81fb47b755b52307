"""The generated modules are those of our .proto files, and those agree with NRI's own numbers."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from capture_nri import calls, nri_pb2, ttrpc_pb2
from capture_nri.events import Lifecycle

SOURCES = Path(calls.__file__).parent.parent


@pytest.mark.parametrize("module", [nri_pb2, ttrpc_pb2])
def test_generating_again_changes_nothing(module: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """The descriptor in the module equals the one that protoc makes of the file now."""
    committed = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(committed)
    out = tmp_path / "descriptors"
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{SOURCES}"]
    subprocess.run([*protoc, f"--descriptor_set_out={out}", committed.name], check=True)
    (now,) = FileDescriptorSet.FromString(out.read_bytes()).file
    assert _without_json_names(committed) == _without_json_names(now)


def _without_json_names(file: FileDescriptorProto) -> FileDescriptorProto:
    """Leave out what protoc derives from the names, and only in some of its outputs."""
    for kind in file.message_type:
        for field in [*kind.field, *(field for inner in kind.nested_type for field in inner.field)]:
            field.ClearField("json_name")
    return file


def test_our_moments_are_those_of_the_file() -> None:
    """Names and numbers."""
    named = {name: number for name, number in nri_pb2.Event.items() if number}
    assert named == {moment.name: moment.value for moment in Lifecycle}
