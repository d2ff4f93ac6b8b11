"""Small real ONNX models for the tests of the formats, built with onnx.helper."""

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

N = 520  # a float32 matrix of 520 x 520 has 1,081,600 bytes: just above 1 MiB


def matrix(seed: int, name: str = "", n: int = N) -> TensorProto:
    values = np.random.default_rng(seed).standard_normal((n, n), dtype=np.float32) * 0.05
    return numpy_helper.from_array(values, name)


def value(name: str, kind: int = TensorProto.FLOAT, shape: tuple = ("N", N)):
    return helper.make_tensor_value_info(name, kind, list(shape))


def model(nodes, initializers=(), functions=(), opsets=(("", 17),), **more) -> ModelProto:
    graph = helper.make_graph(list(nodes), "g", [value("x")], [value("y")], list(initializers), **more)
    return helper.make_model(
        graph,
        ir_version=10,
        opset_imports=[helper.make_opsetid(*each) for each in opsets],
        functions=list(functions),
        producer_name="tests",
        producer_version="1",
    )


def chain(count: int, changed: int | None = None) -> ModelProto:
    """``count`` MatMuls, each with a weight of its own; ``changed`` gets another one."""
    names = ["x", *(f"h{n}" for n in range(count - 1)), "y"]
    nodes = [helper.make_node("MatMul", [names[n], f"w{n}"], [names[n + 1]]) for n in range(count)]
    return model(nodes, [matrix(n + (1000 if n == changed else 0), f"w{n}") for n in range(count)])


def _branch(name: str, weight: str, seed: int):
    node = helper.make_node("MatMul", ["x", weight], [f"{name}_out"])
    return helper.make_graph([node], name, [], [value(f"{name}_out")], [matrix(seed, weight)])


def _conditional(then, otherwise) -> ModelProto:
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], name="cond", then_branch=then, else_branch=otherwise),
    ]
    return model(nodes, [numpy_helper.from_array(np.float32(0), "zero")])


def inner_initializers() -> ModelProto:
    return _conditional(_branch("then", "a", 1), _branch("else", "b", 2))


def inner_constant() -> ModelProto:
    nodes = [
        helper.make_node("Constant", [], ["k"], value=matrix(3)),
        helper.make_node("MatMul", ["x", "k"], ["then_out"]),
    ]
    return _conditional(helper.make_graph(nodes, "then", [], [value("then_out")]), _branch("else", "b", 2))


def constant() -> ModelProto:
    return model(
        [
            helper.make_node("Constant", [], ["w"], value=matrix(1)),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ]
    )


def function() -> ModelProto:
    body = [
        helper.make_node("Constant", [], ["w"], value=matrix(1)),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
    ]
    local = helper.make_function("local", "F", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    return model(
        [helper.make_node("F", ["x"], ["y"], domain="local")], functions=[local], opsets=(("", 17), ("local", 1))
    )


def sparse_constant() -> ModelProto:
    rng = np.random.default_rng(5)
    places = np.sort(rng.choice(N * N, 270_000, replace=False)).astype(np.int64)
    values = rng.standard_normal(places.size).astype(np.float32)
    sparse = helper.make_sparse_tensor(numpy_helper.from_array(values, ""), numpy_helper.from_array(places, ""), [N, N])
    return model(
        [
            helper.make_node("Constant", [], ["w"], sparse_value=sparse),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ]
    )


def typed(kind: int = TensorProto.FLOAT) -> ModelProto:
    """A large weight in a typed field, cast to float and multiplied."""
    values = np.random.default_rng(7).integers(-9, 9, N * N)
    weight = helper.make_tensor("w", kind, [N, N], values.tolist())
    nodes = [
        helper.make_node("Cast", ["w"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "f"], ["y"]),
    ]
    return model(nodes, [weight], opsets=(("", 21),))


def every_place() -> ModelProto:
    """Small, for fuzzing: all places and ways in which a tensor can be held."""
    small = {"n": 4}
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.float32([1, 2]), "sp"), numpy_helper.from_array(np.int64([0, 3]), "i"), [4]
    )
    inner = helper.make_graph(
        [helper.make_node("Identity", ["t"], ["o"])], "inner", [], [value("o")], [matrix(1, "t", **small)]
    )
    nodes = [
        helper.make_node("Constant", [], ["k"], name="const", value=matrix(2, **small)),
        helper.make_node("If", ["c"], ["q"], name="if", then_branch=inner, else_branch=inner),
        helper.make_node("Pad", ["x"], ["p"], ints=[1, 2, 3], floats=[1.5, 2.5], strings=["a", "b"]),
        helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=[1.0], scale=[2.0]),
    ]
    initializers = [
        matrix(4, "w", **small),
        helper.make_tensor("typed", TensorProto.INT64, [3], [1, -2, 300]),
        helper.make_tensor("half", TensorProto.FLOAT16, [2], [1.0, 2.0]),
        helper.make_tensor("nibbles", TensorProto.INT4, [3], [1, -2, 3]),
        helper.make_tensor("text", TensorProto.STRING, [2], [b"one", b"two"]),
    ]
    local = helper.make_function("local", "F", ["a"], ["b"], nodes[:1], [helper.make_opsetid("", 17)])
    built = model(nodes, initializers, [local], (("", 17), ("ai.onnx.ml", 3)), sparse_initializer=[sparse])
    helper.set_model_props(built, {"key": "value"})
    return built
