"""`modelver sign`, held against the real `model_signing` tool: what one signs the other accepts, and neither a flip."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from sandbox import InProcess, Sandbox, environment
from verifying import inside, kinds, report, verdict

from modelver.errors import InvalidInput
from modelver.operations.weights_signature import sign

pytest.importorskip("model_signing", reason="pip install 'modelver[sign]'")

SIGNATURE = "m-v1.0.0.sig"
CURVES = ("prime256v1", "secp384r1", "secp521r1")
"""All that the official tool takes, as OpenSSL calls them."""


@pytest.fixture
def tagged_repo(tagged_template, tmp_path) -> Sandbox:
    """m@v1.0.0, copied: to tag takes longer than most of these tests."""
    shutil.copytree(tagged_template, tmp_path / "repo", symlinks=True)
    box = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    box.git("status")
    return box


@pytest.fixture
def keyed(tagged_repo) -> Sandbox:
    """v1.0.0, and two pairs of keys beside the repository."""
    for name in ("key", "other"):
        key(tagged_repo, name, "prime256v1")
    return tagged_repo


def key(box: Sandbox, name: str, curve: str) -> None:
    box.run("openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", f"../{name}.pem")
    box.run("openssl", "ec", "-in", f"../{name}.pem", "-pubout", "-out", f"../{name}.pub")


def official(box: Sandbox, *args: str, status: int = 0) -> str:
    done = box.run(str(Path(sys.executable).with_name("model_signing")), *args, status=status)
    return done.out + done.err


def accepts(
    box: Sandbox, folder: str, *, ok: bool = True, public: str = "../key.pub", more: tuple[str, ...] = ()
) -> None:
    official(
        box, "verify", "key", folder, "--signature", SIGNATURE, "--public_key", public, *more, status=0 if ok else 1
    )


def judged(box: Sandbox, *, ok: bool = True, public: str = "key.pub", **options) -> dict:
    files = {"weights_signature": box.root / SIGNATURE, "public_key": box.root.parent / public}
    return verdict(box, ok=ok, ref="m@v1.0.0", **files, **options)


@pytest.mark.parametrize("curve", CURVES)
def test_the_official_tool_accepts_what_modelver_signs(keyed, curve):
    key(keyed, "key", curve)
    refs = keyed.refs()
    weights = keyed.root.parent / "weights"
    shutil.move(keyed.root / "models/m/weights", weights)
    shutil.rmtree(keyed.root / ".dvc/cache")  # to sign needs no weights
    done = keyed.mv("sign", "v1", "-k", "../key.pem", "--format", "json").json()
    sidecar = keyed.mv("show", "v1", "--format", "json").json()
    assert done == {
        "tag": "m@v1.0.0",
        "weights": sidecar["weights"]["sha256"],
        "files": 2,
        "path": str(keyed.root / SIGNATURE),
        "git_paths": False,
        "dry_run": False,
    }
    assert keyed.refs() == refs
    accepts(keyed, str(weights))
    key(keyed, "other", curve)
    accepts(keyed, str(weights), ok=False, public="../other.pub")
    path = next(weights.glob("*.safetensors"))
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    accepts(keyed, str(weights), ok=False)


def test_both_accept_and_a_flipped_bit_makes_both_refuse(keyed):
    signed(keyed, "key.pem")
    accepts(keyed, "models/m/weights")
    assert judged(keyed)["ok"]
    accepts(keyed, "models/m/weights", ok=False, public="../other.pub")
    assert kinds(judged(keyed, ok=False, public="other.pub")) == ["weights-signature"]
    path = next((keyed.root / "models/m/weights").glob("*.safetensors"))
    data = path.read_bytes()
    cached = next(p for p in (keyed.root / ".dvc/cache").rglob("*") if p.is_file() and p.read_bytes() == data)
    for place in (path, cached):
        place.chmod(0o644)
        place.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    accepts(keyed, "models/m/weights", ok=False)
    assert kinds(judged(keyed, ok=False)) == ["weights"]


def test_modelver_accepts_what_the_official_tool_signs(keyed):
    for curve in CURVES[1:]:
        key(keyed, "key", curve)
        official(keyed, "sign", "key", "models/m/weights", "--signature", SIGNATURE, "--private_key", "../key.pem")
        assert judged(keyed)["ok"]
        assert kinds(judged(keyed, ok=False, public="other.pub")) == ["weights-signature"]
    key(keyed, "key", CURVES[0])
    official(keyed, "sign", "key", "models/m/weights", "--signature", SIGNATURE, "--private_key", "../key.pem")
    assert judged(keyed)["ok"]
    assert "ok" in keyed.mv("verify", "v1", "--weights-signature", SIGNATURE, "--public-key", "../key.pub").out
    keyed.change("m", 2)
    official(keyed, "sign", "key", "models/m/weights", "--signature", SIGNATURE, "--private_key", "../key.pem")
    one = judged(keyed, ok=False)  # that is the next version's
    assert kinds(one) == ["weights-signature"]
    done = keyed.mv("verify", "v1", "--weights-signature", SIGNATURE, "--public-key", "../key.pub", status=1)
    assert "weights-signature" in done.out


def test_a_flipped_bit_of_the_signature_makes_both_refuse(keyed):
    signed(keyed, "key.pem")
    whole = (keyed.root / SIGNATURE).read_bytes()
    payload = json.loads(whole)["dsseEnvelope"]
    for part in (payload["payload"], payload["signatures"][0]["sig"]):
        at = whole.index(part.encode()) + 20
        (keyed.root / SIGNATURE).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert kinds(judged(keyed, ok=False)) == ["weights-signature"]
        accepts(keyed, "models/m/weights", ok=False)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[]", b"{}", b'{"verificationMaterial": {}}', b"[" * 100_000, b'{"a": ' * 5_000]
)
def test_what_is_no_signature(keyed, content):
    (keyed.root / SIGNATURE).write_bytes(content)
    assert kinds(judged(keyed, ok=False)) == ["weights-signature"]


def test_a_plain_model_that_is_one_file_and_one_with_git_files(keyed, tmp_path):
    keyed.write("one.gguf", b"GGUF" + bytes(range(200)))
    keyed.mv("add", "one", "one.gguf", "--plain")
    folder = tmp_path / "repo" / "snapshot"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"weights")
    (folder / ".gitattributes").write_text("*.bin -text\n")
    keyed.mv("add", "many", "snapshot", "--plain")
    keyed.commit("more models")
    for name in ("one", "many"):
        keyed.mv("tag", name)
    keyed.mv("sign", "one", "-k", "../key.pem", "-o", SIGNATURE)
    accepts(keyed, "one.gguf")
    (keyed.root / SIGNATURE).unlink()
    done = keyed.mv("sign", "many", "-k", "../key.pem", "-o", SIGNATURE)
    assert "--no-ignore-git-paths" in done.err
    accepts(keyed, "snapshot", more=("--no-ignore-git-paths",))


def signed(box: Sandbox, name: str, **options) -> None:
    with inside(box) as project:
        sign(project, "v1", box.root.parent / name, output=box.root / SIGNATURE, **options)


def test_keys_that_will_not_do(keyed, tmp_path):
    keyed.run("openssl", "ec", "-in", "../key.pem", "-aes256", "-passout", "pass:canary", "-out", "../locked.pem")
    assert "needs a password" in keyed.refused("sign", "v1", "-k", "../locked.pem").err
    refused = keyed.refused("sign", "v1", "-k", "../locked.pem", MODELVER_KEY_PASSWORD="wrong-canary")
    assert "canary" not in refused.err
    with pytest.raises(InvalidInput, match="has no password"):
        signed(keyed, "key.pem", password="canary")
    signed(keyed, "locked.pem", password="canary", dry_run=True)
    assert not (keyed.root / SIGNATURE).exists()
    keyed.run("openssl", "genrsa", "-out", "../rsa.pem", "2048")
    for name in ("rsa.pem", "key.pub", "missing.pem"):
        with pytest.raises(InvalidInput, match=name):
            signed(keyed, name)
    for options in (
        {"ref": "v1", "weights_signature": tmp_path / "x"},
        {"weights_signature": tmp_path / "x", "public_key": tmp_path / "key.pub"},
        {"ref": "v1", "weights_signature": tmp_path / "missing", "public_key": tmp_path / "key.pub"},
    ):
        with pytest.raises(InvalidInput):
            report(keyed, **options)


def test_nothing_is_signed_twice_and_nothing_that_is_wrong(keyed):
    signed(keyed, "key.pem")
    assert "exists" in keyed.refused("sign", "v1", "-k", "../key.pem").err
    keyed.write("models/m/files.jsonl", (keyed.root / "models/m/files.jsonl").read_text().replace("a", "b", 1))
    keyed.commit("changed")
    message = keyed.git("tag", "-l", "--format=%(contents)", "m@v1.0.0")
    keyed.git("tag", "-f", "-a", "-m", message, "m@v1.0.0", "HEAD")
    assert "is not signed" in keyed.refused("sign", "v1", "-k", "../key.pem", "-o", "x.sig", status=1).err


def test_without_the_package(keyed):
    """As `pip install modelver` leaves it."""
    keyed.write("../blocked/model_signing.py", "raise ImportError('no', name='model_signing')\n")
    path = f"{keyed.root.parent / 'blocked'}:{keyed.env['PYTHONPATH']}"
    refused = keyed.refused("sign", "v1", "-k", "../key.pem", PYTHONPATH=path)
    assert "modelver[sign]" in refused.err
