"""What an ONNX model declares: format, signature and graph of a sidecar, without its weights."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelver.errors import InvalidInput
from modelver.formats import dtypes, onnx_bombs, onnx_tensor
from modelver.formats.digest import Digester
from modelver.formats.onnx_walk import SMALL_ATTRIBUTE, Model, Place, Visit
from modelver.formats.wire import Rope

_MAX_SKELETON = 1 << 30
_LABELS = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")
_TREE_WEIGHTS = ("nodes_", "class_", "target_", "leaf_", "tree_roots", "membership_values")

Facts = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


def describe(path: Path) -> Facts:
    """A sidecar's ``format``, ``signature`` and ``graph`` of the model file at ``path``, split or whole.

    The graph's digest covers opsets, inputs, outputs, operators, attributes, how values flow, and type and
    shape of the weights. It does not cover weights, names of nodes and inner values, texts and metadata.
    Weights are the initializers, tensors of `SMALL_ATTRIBUTE` bytes or more in attributes, and in the
    domain ai.onnx.ml lists of floats and the trees of an ensemble: training again leaves the digest as it is.

    Raises:
        InvalidInput: the file is no ONNX model, or is malformed.
    """
    with Model(path) as model:
        return describe_open(model)


def describe_open(model: Model, check: Visit | None = None) -> Facts:
    """As `describe`, for a model that is open; ``check`` is called with each tensor on the way."""
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    skeleton = _skeleton(model, check)
    if skeleton.length > _MAX_SKELETON:
        raise InvalidInput(f"{model.path}: its graph takes {skeleton.length} bytes without weights")
    try:
        proto = ModelProto.FromString(b"".join(bytes(piece) for piece in skeleton.pieces()))
        onnx_bombs.refuse(proto, model.path)
        facts = _format(proto), _signature(proto), _graph(proto)
        json.dumps(facts, ensure_ascii=False).encode("utf-8")
        return facts
    except TypeError:
        # protobuf hands out bytes where a text is not UTF-8: they neither sort nor go into JSON
        raise InvalidInput(f"{model.path}: one of its names or texts is not UTF-8") from None
    except (DecodeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{model.path} is not a well-formed ONNX model: {error}") from None


def _skeleton(model: Model, check: Visit | None) -> Rope:
    """The model with no data in its weights, and a digest for data in small attributes.

    The digest makes equal tensors equal whether they came as raw or as typed data.
    """
    with Digester() as digester:

        def strip(tensor: onnx_tensor.WireTensor, place: Place, name: str) -> Rope:
            if check is not None:
                check(tensor, place, name)
            small = not place.initializer and tensor.bytes < SMALL_ATTRIBUTE
            tensor.kept = [
                item
                for item in tensor.kept
                if item.number in (onnx_tensor.DIMS, onnx_tensor.DATA_TYPE)
                or (place.initializer and item.number == onnx_tensor.NAME)
            ]
            if not small:
                return onnx_tensor.rebuilt(tensor)
            where = f"{model.path}, tensor {name!r}"
            digest = onnx_tensor.digest(tensor, model.folder, where, digester)
            return onnx_tensor.rebuilt(tensor, (onnx_tensor.RAW, bytes.fromhex(digest)))

        return model.rebuild(strip)


def _format(proto: Any) -> dict[str, Any]:
    producer = " ".join([proto.producer_name, proto.producer_version]).strip()
    return {
        "name": "onnx",
        "ir_version": proto.ir_version,
        "opsets": _opsets(proto.opset_import),
        "producer": producer or None,
        "functions": len(proto.functions),
        "metadata": {item.key: item.value for item in sorted(proto.metadata_props, key=lambda item: item.key)},
    }


def _opsets(imports: Any) -> dict[str, int]:
    return {item.domain or "ai.onnx": item.version for item in sorted(imports, key=lambda item: item.domain)}


def _signature(proto: Any) -> dict[str, Any]:
    graph = proto.graph
    initialized = {item.name for item in graph.initializer}
    initialized |= {item.values.name for item in graph.sparse_initializer}
    return {
        "inputs": [_value(item) for item in graph.input if item.name not in initialized],
        "outputs": [_value(item) for item in graph.output],
        "labels": _labels(graph),
    }


def _value(info: Any) -> dict[str, Any]:
    return {"name": info.name, "dtype": _type(info.type), "shape": _shape(info.type)}


def _type(proto: Any) -> str | None:
    kind = proto.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        found = dtypes.ONNX.get(getattr(proto, kind).elem_type)
        name = found.name if found else "undefined"
        return name if kind == "tensor_type" else f"sparse({name})"
    if kind in ("sequence_type", "optional_type"):
        return f"{kind.removesuffix('_type')}({_type(getattr(proto, kind).elem_type)})"
    if kind == "map_type":
        key = dtypes.ONNX.get(proto.map_type.key_type)
        return f"map({key.name if key else 'undefined'}, {_type(proto.map_type.value_type)})"
    return kind.removesuffix("_type") if kind else None


def _shape(proto: Any) -> list[int | str | None] | None:
    """Dimensions; None for what is no tensor, or of a rank that is not declared."""
    kind = proto.WhichOneof("value")
    if kind not in ("tensor_type", "sparse_tensor_type") or not getattr(proto, kind).HasField("shape"):
        return None
    return [_dim(dim) for dim in getattr(proto, kind).shape.dim]


def _dim(dim: Any) -> int | str | None:
    kind = dim.WhichOneof("value")
    if kind == "dim_value":
        return int(dim.dim_value)
    return (dim.dim_param or None) if kind == "dim_param" else None


def _labels(graph: Any) -> list[str] | list[int] | None:
    """Class labels of the last classifier or ZipMap: the one nearest to the outputs."""
    for node in reversed(graph.node):
        if node.domain != "ai.onnx.ml":
            continue
        for attribute in node.attribute:
            if attribute.name in _LABELS and (attribute.strings or attribute.ints):
                if attribute.strings:
                    return [text.decode("utf-8") for text in attribute.strings]
                return list(attribute.ints)
    return None


def _graph(proto: Any) -> dict[str, Any]:
    nodes = list(_nodes(proto.graph))
    operators = Counter(f"{node.domain or 'ai.onnx'}/{node.op_type}" for node in nodes)
    return {"operators": dict(sorted(operators.items())), "nodes": len(nodes), "digest": _digest(proto)}


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _nodes(inner)


def _digest(proto: Any) -> str:
    out = _Fingerprint()
    out.put("opsets", _opsets(proto.opset_import))
    out.graph(proto.graph, {})
    for function in sorted(proto.functions, key=lambda item: (item.domain, item.name)):
        out.function(function)
    return out.hash.hexdigest()


class _Fingerprint:
    """A digest in which a value is known by the order of its first use, not by its name."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.values = 0

    def put(self, *items: Any) -> None:
        self.hash.update(json.dumps(items, ensure_ascii=True, sort_keys=True).encode() + b"\n")

    def graph(self, graph: Any, outer: dict[str, int]) -> None:
        scope = dict(outer)
        weights = {item.name: item for item in graph.initializer}
        weights |= {item.values.name: item.values for item in graph.sparse_initializer}
        for item in graph.input:
            if item.name not in weights:
                self.put(
                    "input",
                    item.name if not outer else "",
                    self.define(scope, item.name),
                    _value(item) | {"name": ""},
                )
        self.nodes(graph.node, scope, weights)
        for item in graph.output:
            self.put(
                "output",
                item.name if not outer else "",
                self.use(scope, item.name, weights),
                _value(item) | {"name": ""},
            )

    def function(self, function: Any) -> None:
        self.put(
            "function",
            function.domain,
            function.name,
            _opsets(function.opset_import),
            list(function.attribute),
        )
        scope: dict[str, int] = {}
        self.put([self.define(scope, name) for name in function.input])
        for attribute in sorted(function.attribute_proto, key=lambda item: item.name):
            self.attribute(attribute, "", scope)
        self.nodes(function.node, scope, {})
        self.put([self.use(scope, name, {}) for name in function.output])

    def nodes(self, nodes: Any, scope: dict[str, int], weights: dict[str, Any]) -> None:
        for node in nodes:
            inputs = [self.use(scope, name, weights) for name in node.input]
            self.put("node", node.domain, node.op_type, getattr(node, "overload", ""), inputs)
            for attribute in sorted(node.attribute, key=lambda item: item.name):
                self.attribute(attribute, node.domain, scope)
            self.put([self.define(scope, name) if name else -1 for name in node.output])

    def define(self, scope: dict[str, int], name: str) -> int:
        self.values += 1
        scope[name] = self.values
        return self.values

    def use(self, scope: dict[str, int], name: str, weights: dict[str, Any]) -> int:
        if not name:
            return -1
        if name not in scope:
            self.define(scope, name)
            if name in weights:
                self.put("weight", weights[name].data_type, list(weights[name].dims))
        return scope[name]

    def attribute(self, attribute: Any, domain: str, scope: dict[str, int]) -> None:
        graphs = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
        if graphs:
            self.put("graphs", attribute.name, len(graphs))
            for inner in graphs:
                self.graph(inner, scope or {"": 0})
        elif domain == "ai.onnx.ml" and (attribute.floats or attribute.name.startswith(_TREE_WEIGHTS)):
            self.put("weights", attribute.name)
        else:
            attribute.ClearField("doc_string")
            self.put("attribute", attribute.SerializeToString(deterministic=True).hex())
