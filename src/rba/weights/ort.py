"""Reading ONNX Runtime's own format: the arrays and the nodes of a model, those of its sub-graphs included."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rba.errors import ModelError

_DTYPES = {1: "<f4", 2: "|u1", 3: "|i1", 6: "<i4", 7: "<i8", 9: "|b1", 10: "<f2", 11: "<f8"}  # of the ONNX standard


@dataclass(frozen=True)
class Node:
    """One operation: its kind, its name and the names of what it reads."""

    op: str
    name: str
    inputs: tuple[str, ...]


def read(path: Path) -> tuple[dict[str, np.ndarray], list[Node]]:
    """The constant arrays of an .ort file by name, and its nodes. Raises ModelError where the file is damaged."""
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    arrays: dict[str, np.ndarray] = {}
    nodes: list[Node] = []

    def visit(graph: Any) -> None:
        for tensor in (graph.Initializers(i) for i in range(graph.InitializersLength())):
            shape = [tensor.Dims(i) for i in range(tensor.DimsLength())]
            if tensor.RawDataLength() or 0 in shape:
                values = tensor.RawDataAsNumpy().view(_DTYPES[tensor.DataType()]) if tensor.RawDataLength() else []
                arrays.setdefault(tensor.Name().decode(), np.asarray(values).reshape(shape))
        for node in (graph.Nodes(i) for i in range(graph.NodesLength())):
            inputs = tuple(node.Inputs(i).decode() for i in range(node.InputsLength()))
            nodes.append(Node(node.OpType().decode(), node.Name().decode(), inputs))
            for attribute in (node.Attributes(i) for i in range(node.AttributesLength())):
                if attribute.G():
                    visit(attribute.G())

    try:
        visit(InferenceSession.GetRootAs(bytearray(path.read_bytes()), 0).Model().Graph())
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error) as error:
        raise ModelError("ONNX Runtime file is damaged or of an unknown number type", str(path)) from error
    return arrays, nodes
