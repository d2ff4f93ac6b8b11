"""Real PyTorch models, trained on data that scikit-learn ships, through export and validation."""

import json
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn import datasets

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'modelver[torch]'")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'modelver[torch]'")

from torch import nn  # noqa: E402

from modelver.errors import InvalidInput, Refused  # noqa: E402
from modelver.operations import stage_export, stage_validate  # noqa: E402

torch.set_num_threads(1)

NETS = '''
import torch
from torch import nn


class Digits(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(width * 64, 10)

    def forward(self, image):
        x = torch.relu(self.norm(self.conv(image / 16.0)))
        logits = self.head(self.drop(x.flatten(1)))
        return {"scores": logits.softmax(1), "label": logits.argmax(1)}


class Wine(nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = nn.Buffer(torch.zeros(13))
        self.scale = nn.Buffer(torch.ones(13))
        self.net = nn.Sequential(nn.Linear(13, 16), nn.Tanh(), nn.Linear(16, 3))

    def forward(self, X):
        return self.net((X - self.shift) / self.scale)


class Words(nn.Module):
    """Two inputs, one of int64 with a length that varies."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8 + 2, 1)

    def forward(self, ids, extra):
        states = self.layer(self.embed(ids))
        return self.head(torch.cat([states.mean(1), extra], 1)), states


def digits():
    return Digits()


def wide():
    return Digits(width=9)


def wine():
    return Wine()


def half():
    return Wine().to(torch.float16)


def brain():
    return Wine().to(torch.bfloat16)


def brain_with_a_branch():
    return Branch().to(torch.bfloat16)


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Wine()
        self.other = nn.Linear(13, 3)

    def forward(self, X):
        big = X.sum() > 1e30
        return torch.cond(big, lambda x: self.other(x), lambda x: self.net(x), (X,)), X.argmax(1)


def words():
    return Words()


def broken():
    return Digits(depth=3)


def number():
    return 3


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(13, 3)

    def forward(self, X):
        return self.net(X).reshape(4, 3)


def fixed():
    return Fixed()


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(13, 3)

    def forward(self, X):
        return nn.functional.dropout(self.net(X), 0.5)


def noisy():
    return Noisy()
'''

IMAGE = {"name": "image", "shape": ["N", 1, 8, 8]}


def nets() -> dict:
    space: dict = {"__name__": "nets"}
    exec(compile(NETS, "nets.py", "exec"), space)
    return space


def train(model, inputs, target, loss, steps=60):
    torch.manual_seed(0)
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        answer = model(*inputs)
        loss(answer, target).backward()
        optimiser.step()
    return model.eval()


def digits_rows():
    X, y = datasets.load_digits(return_X_y=True)
    return X.reshape(-1, 1, 8, 8).astype(np.float32), y


@pytest.fixture(scope="module")
def digits():
    X, y = digits_rows()
    model = nets()["Digits"]()
    loss = nn.NLLLoss()
    return train(model, [torch.from_numpy(X)], torch.from_numpy(y), lambda a, b: loss((a["scores"] + 1e-9).log(), b))


@pytest.fixture(scope="module")
def wine():
    X, y = datasets.load_wine(return_X_y=True)
    rows = torch.from_numpy(X.astype(np.float32))
    model = nets()["Wine"]()
    model.shift.copy_(rows.mean(0))
    model.scale.copy_(rows.std(0))
    return train(model, [rows], torch.from_numpy(y), nn.CrossEntropyLoss())


@pytest.fixture
def root(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    X, y = digits_rows()
    np.savez(tmp_path / "digits.npz", X=X, y=y)
    X, y = datasets.load_wine(return_X_y=True)
    np.savez(tmp_path / "wine.npz", X=X, y=y)
    return tmp_path


def settings(source, data, **export):
    return {"source": source, "framework": "torch", "data": data, "export": export}


def program(model, example, path, **more):
    torch.export.save(torch.export.export(model, example, **more), path)


def digits_program(model, path):
    batch = torch.export.Dim("batch")
    program(model, (torch.zeros(3, 1, 8, 8),), path, dynamic_shapes={"image": {0: batch}})


def round_trip(root, entry):
    stage_export.run(root, "m", entry)
    result = stage_validate.run(root, "m", entry)
    assert result.ok, [check for check in result.checks if not check.ok]
    return result


def source_of(root) -> dict:
    return json.loads((root / "models/m/source.json").read_text())


def content(root) -> dict:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted((root / "models").rglob("*")) if p.is_file()}


def accuracy(model, data="digits"):
    X, y = digits_rows()
    with torch.no_grad():
        return float((model(torch.from_numpy(X))["label"].numpy() == y).mean())


def test_a_program_passes_validation_with_the_accuracy_that_pytorch_has(root, digits):
    digits_program(digits, root / "m.pt2")
    result = round_trip(root, {"source": "m.pt2", "data": "digits.npz", "export": {"labels": list(range(10))}})
    assert accuracy(digits) > 0.9
    assert result.metrics["accuracy"] == pytest.approx(accuracy(digits))
    found = source_of(root)
    assert found["signature"] == {
        "inputs": [{"name": "image", "dtype": "float32", "shape": ["N", 1, 8, 8]}],
        "outputs": [
            {"name": "scores", "dtype": "float32", "shape": ["N", 10]},
            {"name": "label", "dtype": "int64", "shape": ["N"]},
        ],
        "labels": list(range(10)),
    }
    assert (found["source"]["format"], found["source"]["framework"]) == ("pt2", "torch")
    assert found["format"]["ir_version"] == 10
    assert found["format"]["opsets"] == {"ai.onnx": 18}


def test_a_state_dict_and_its_builder_give_what_the_program_gives(root, digits):
    torch.save(digits.state_dict(), root / "m.pt")
    entry = settings("m.pt", "digits.npz", builder="nets:digits", inputs=[IMAGE], labels=list(range(10)))
    assert round_trip(root, entry).metrics["accuracy"] == pytest.approx(accuracy(digits))
    first = source_of(root)
    digits_program(digits, root / "m.pt2")
    round_trip(root, settings("m.pt2", "digits.npz", labels=list(range(10))))
    assert source_of(root)["graph"] == first["graph"]
    assert source_of(root)["signature"] == first["signature"]


def test_inputs_are_found_in_the_data_where_nobody_declares_them(root, wine):
    torch.save({"epoch": 3, "state_dict": wine.state_dict()}, root / "m.pth")
    result = round_trip(root, settings("m.pth", "wine.npz", builder="nets:wine", outputs=["logits"]))
    X, y = datasets.load_wine(return_X_y=True)
    with torch.no_grad():
        expected = (wine(torch.from_numpy(X.astype(np.float32))).argmax(1).numpy() == y).mean()
    assert expected > 0.95
    assert result.metrics["accuracy"] == pytest.approx(float(expected))
    assert source_of(root)["signature"]["inputs"] == [{"name": "X", "dtype": "float32", "shape": ["N", 13]}]
    assert source_of(root)["signature"]["outputs"] == [{"name": "logits", "dtype": "float32", "shape": ["N", 3]}]


def test_safetensors_weights(root, wine):
    from safetensors.torch import save_file

    save_file(wine.state_dict(), root / "m.safetensors")
    round_trip(root, settings("m.safetensors", "wine.npz", builder="nets:wine"))


def words_data(root, count=40):
    random = np.random.default_rng(0)
    ids = random.integers(0, 50, (count, 7))
    extra = random.normal(size=(count, 2)).astype(np.float32)
    np.savez(root / "words.npz", ids=ids, extra=extra)
    return ids, extra


WORDS = [{"name": "ids", "shape": ["N", "T"], "dtype": "int64"}, {"name": "extra", "shape": ["N", 2]}]


def test_several_inputs_and_outputs_and_two_dynamic_dimensions(root):
    ids, extra = words_data(root)
    model = nets()["Words"]()
    target = torch.from_numpy((ids.mean(1, keepdims=True) / 50 + extra[:, :1]).astype(np.float32))
    train(model, [torch.from_numpy(ids), torch.from_numpy(extra)], target, lambda a, b: nn.MSELoss()(a[0], b), 10)
    torch.save(model.state_dict(), root / "m.pt")
    round_trip(root, settings("m.pt", "words.npz", builder="nets:words", inputs=WORDS, outputs=["value", "states"]))
    assert source_of(root)["signature"]["outputs"] == [
        {"name": "value", "dtype": "float32", "shape": ["N", 1]},
        {"name": "states", "dtype": "float32", "shape": ["N", "T", 8]},
    ]
    session = onnxruntime.InferenceSession(root / "models/m/weights/model.onnx")
    for rows, length in ((1, 7), (5, 3), (2, 11)):
        ids = np.random.default_rng(1).integers(0, 50, (rows, length))
        extra = np.ones((rows, 2), np.float32)
        value, states = session.run(["value", "states"], {"ids": ids, "extra": extra})
        with torch.no_grad():
            want = model(torch.from_numpy(ids), torch.from_numpy(extra))
        np.testing.assert_allclose(value, want[0].numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(states, want[1].numpy(), rtol=1e-4, atol=1e-5)


def test_float16(root, wine):
    torch.save(wine.state_dict(), root / "m.pt")
    inputs = [{"name": "X", "shape": ["N", 13], "dtype": "float16"}]
    result = round_trip(root, settings("m.pt", "wine.npz", builder="nets:half", inputs=inputs))
    assert source_of(root)["signature"]["outputs"][0]["dtype"] == "float16"
    assert result.metrics["accuracy"] > 0.95


def scaled_wine(root):
    X, y = datasets.load_wine(return_X_y=True)
    np.savez(root / "scaled.npz", X=(X - X.mean(0)) / X.std(0), y=y)


@pytest.mark.parametrize("builder", ["brain", "brain_with_a_branch"])
def test_bfloat16_stays_in_weights_inputs_and_outputs(root, wine, builder):
    scaled_wine(root)
    weights = {**wine.state_dict(), "shift": torch.zeros(13), "scale": torch.ones(13)}
    if builder != "brain":
        weights = {f"net.{key}": value for key, value in weights.items()}
        weights |= {f"other.{key}": value for key, value in nn.Linear(13, 3).state_dict().items()}
    torch.save(weights, root / "m.pt")
    inputs = [{"name": "X", "shape": ["N", 13], "dtype": "bfloat16"}]
    result = round_trip(root, settings("m.pt", "scaled.npz", builder=f"nets:{builder}", inputs=inputs))
    assert result.parity.rows_off == 0
    assert result.parity.max_abs > 0 or builder != "brain"
    found = source_of(root)["signature"]
    assert found["inputs"][0]["dtype"] == found["outputs"][0]["dtype"] == "bfloat16"
    stored = [json.loads(line) for line in (root / "models/m/tensors.jsonl").read_text().splitlines()]
    assert {tensor["dtype"] for tensor in stored if tensor["shape"] == [16, 13]} <= {"bfloat16"}
    assert [tensor["dtype"] for tensor in stored if 16 in tensor["shape"]]


def test_a_fixed_batch_gets_exactly_that_many_rows(root):
    torch.save(nets()["Fixed"]().state_dict(), root / "m.pt")
    inputs = [{"name": "X", "shape": [4, 13]}]
    round_trip(root, settings("m.pt", "wine.npz", builder="nets:fixed", inputs=inputs))
    assert source_of(root)["signature"]["outputs"][0]["shape"] == [4, 3]
    with pytest.raises(InvalidInput, match=r"model m: (torch.export cannot trace it|dimension N)"):
        stage_export.run(root, "m", settings("m.pt", "wine.npz", builder="nets:fixed"))


@pytest.mark.parametrize("opset", [18, 20, 21])
def test_the_opset_that_was_asked_for_is_stamped(root, wine, opset):
    torch.save(wine.state_dict(), root / "m.pt")
    round_trip(root, settings("m.pt", "wine.npz", builder="nets:wine", opset=opset))
    assert source_of(root)["format"]["opsets"]["ai.onnx"] == opset


def test_the_bytes_are_the_same_in_every_folder_and_tell_nothing_of_it(root, digits, tmp_path_factory):
    code = "import sys, json; from pathlib import Path; from modelver.operations import stage_export as s; "
    code += "s.run(Path.cwd(), 'm', json.loads(sys.argv[1]))"
    for entry in (
        settings("m.pt2", "digits.npz"),
        settings("m.pt", "digits.npz", builder="nets:digits", inputs=[IMAGE]),
    ):
        results = []
        for name in ("one", "another-much-longer-name"):
            folder = tmp_path_factory.mktemp(name)
            (folder / "nets.py").write_text(NETS)
            X, y = digits_rows()
            np.savez(folder / "digits.npz", X=X, y=y)
            if "builder" in entry["export"]:
                torch.save(digits.state_dict(), folder / "m.pt")
            elif not results:
                digits_program(digits, folder / "m.pt2")
                made = folder / "m.pt2"
            else:
                (folder / "m.pt2").write_bytes(made.read_bytes())
            env = {**os.environ, "PYTHONHASHSEED": str(len(results))}
            subprocess.run([sys.executable, "-c", code, json.dumps(entry)], cwd=folder, env=env, check=True)
            results.append(content(folder))
        assert results[0] == results[1]
        proto = onnx.load_from_string(results[0]["models/m/weights/model.onnx"])
        del proto.graph.initializer[:]
        for word in ("metadata", "doc_string", "/", ".py", "nets", "Digits", "forward", "another", "+cpu"):
            assert word not in str(proto), word


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickles_are_not_opened(root, digits):
    trap = root / "trapped"
    torch.save({"state_dict": Touch(trap)}, root / "m.pt")
    with pytest.raises(InvalidInput, match=r"model m: m\.pt holds no state dict that torch\.load opens"):
        stage_export.run(root, "m", settings("m.pt", "digits.npz", builder="nets:digits"))
    torch.save(nn.Linear(2, 2), root / "m.pt")  # a whole module, as many people save it
    with pytest.raises(InvalidInput, match="holds no state dict") as raised:
        stage_export.run(root, "m", settings("m.pt", "digits.npz", builder="nets:digits"))
    assert "state_dict()" in raised.value.hint
    digits_program(digits, root / "good.pt2")
    for member, data in (
        ("data/sample_inputs/model.pt", _torch_bytes(Touch(trap))),
        ("data/weights/weight_0", _torch_bytes(Touch(trap))),
        ("data/constants/opaque_obj_0", pickle.dumps(Touch(trap))),
    ):
        _rewrite(root / "good.pt2", root / "m.pt2", member, data)
        with pytest.raises(Refused, match="model m"):
            stage_export.run(root, "m", settings("m.pt2", "digits.npz"))
    assert not trap.exists()
    assert not (root / "models/m/weights").exists()


def _torch_bytes(value) -> bytes:
    import io

    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _rewrite(source, target, member, data):
    """The archive with one member replaced, and the payload configs pointing at it as at a pickle."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        prefix = old.namelist()[0].split("/")[0]
        names = [name for name in old.namelist() if name != f"{prefix}/{member}"]
        for name in names:
            content = old.read(name)
            config = json.loads(content) if name.endswith("_config.json") else None
            if config is not None and "weight_0" in member and "weights" in name:
                next(iter(config["config"].values()))["use_pickle"] = True
            if config is not None and "opaque" in member and "constants" in name:
                entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
                config["config"]["x"] = entry
            new.writestr(name, content if config is None else json.dumps(config))
        new.writestr(f"{prefix}/{member}", data)


def test_training_mode_is_refused(root, digits):
    import copy

    training = copy.deepcopy(digits).train()
    digits_program(training, root / "m.pt2")
    with pytest.raises(Refused, match="model m is in training mode") as raised:
        stage_export.run(root, "m", settings("m.pt2", "digits.npz"))
    assert "eval()" in raised.value.hint
    torch.save(nets()["Noisy"]().state_dict(), root / "m.pt")
    with pytest.raises(Refused, match=r"training mode: aten\.dropout"):
        stage_export.run(root, "m", settings("m.pt", "wine.npz", builder="nets:noisy"))


@pytest.mark.parametrize(
    ("export", "message"),
    [
        ({}, "nobody says what model they belong to"),
        ({"builder": "nothing:here"}, "the builder nothing:here fails: No module named 'nothing'"),
        ({"builder": "nets:missing"}, "the builder nets:missing fails"),
        ({"builder": "nets:broken"}, r"the builder nets:broken fails at nets\.py:\d+: .*depth"),
        ({"builder": "nets:number"}, "returns a int, no nn.Module"),
        ({"builder": "nets:wide"}, r"do not fit what nets:wide builds: .*size mismatch"),
        ({"builder": "nets:digits", "inputs": [{"name": "image", "shape": ["N", 64]}]}, r"the model takes \[N, 64\]"),
        ({"builder": "nets:digits", "inputs": [IMAGE], "outputs": ["a"]}, "names 1 outputs, the model returns 2"),
        ({"builder": "nets:digits", "inputs": [IMAGE], "opset": 99}, "torch.onnx cannot"),
    ],
)
def test_mistakes_name_model_and_cause(root, digits, export, message):
    torch.save(digits.state_dict(), root / "m.pt")
    with pytest.raises(Refused, match=f"^model m.*{message}"):
        stage_export.run(root, "m", settings("m.pt", "digits.npz", **export))
    assert not (root / "models/m/weights").exists()


@pytest.mark.parametrize("damage", ["empty", "text", "cut"])
@pytest.mark.parametrize("name", ["m.pt2", "m.pt"])
def test_damaged_files(root, digits, name, damage):
    digits_program(digits, root / "m.pt2")
    torch.save(digits.state_dict(), root / "m.pt")
    whole = (root / name).read_bytes()
    (root / name).write_bytes({"empty": b"", "text": b"hello" * 99, "cut": whole[: len(whole) // 2]}[damage])
    with pytest.raises(InvalidInput, match=f"model m: {name}"):
        stage_export.run(
            root, "m", settings(name, "digits.npz", **({"builder": "nets:digits"} if name == "m.pt" else {}))
        )


def test_params_cannot_declare_what_the_program_does_not_have(root, digits):
    digits_program(digits, root / "m.pt2")
    for inputs, message in (
        ([{"name": "image", "shape": [4, 1, 8, 8]}], "the program has float32"),
        ([{"name": "image", "shape": ["N", 1, 8, "W"]}], "the program has float32"),
        ([{"name": "image", "shape": ["N", 1, 8, 8], "dtype": "float16"}], "the program has float32"),
        ([IMAGE, {"name": "b", "shape": [1]}], "declares 2 inputs, the program has 1"),
    ):
        with pytest.raises(InvalidInput, match=message):
            stage_export.run(root, "m", settings("m.pt2", "digits.npz", inputs=inputs))
    round_trip(root, settings("m.pt2", "digits.npz", inputs=[{"name": "picture", "shape": ["B", 1, 8, 8]}]))
    assert source_of(root)["signature"]["inputs"][0] == {"name": "picture", "dtype": "float32", "shape": ["B", 1, 8, 8]}
    assert source_of(root)["signature"]["outputs"][1]["shape"] == ["B"]
