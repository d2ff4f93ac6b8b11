"""What `modelver verify` says of signatures: SSH and GPG; good, bad, by a key that nobody knows, by the wrong one."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from sandbox import Sandbox, environment
from verifying import kinds, report, verdict

GPG = shutil.which("gpg")


def ssh_key(box: Sandbox, name: str) -> str:
    """Make a key; its line for a file of allowed signers."""
    path = box.root.parent / name
    box.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path))
    kind, key, _ = path.with_suffix(".pub").read_text().split()
    return f'{name}@example.com namespaces="git" {kind} {key}\n'


@pytest.fixture
def signing(model_repo) -> Sandbox:
    """Git signs with Maria's key. ``maria``, ``otto`` and ``both`` hold allowed signers; the repository knows none."""
    box = model_repo
    maria, otto = ssh_key(box, "maria-key"), ssh_key(box, "otto-key")
    for name, lines in (("maria", maria), ("otto", otto), ("both", maria + otto)):
        (box.root.parent / name).write_text(lines)
    box.git("config", "gpg.format", "ssh")
    use(box, "maria")
    return box


def use(box: Sandbox, name: str) -> None:
    box.git("config", "user.signingKey", str(box.root.parent / f"{name}-key.pub"))


def trust(box: Sandbox, name: str) -> None:
    box.git("config", "gpg.ssh.allowedSignersFile", str(box.root.parent / name))


def tamper(box: Sandbox, tag: str) -> None:
    """Put a tag object in the tag's place that says something else under the same signature."""
    raw = box.run("git", "cat-file", "tag", tag).out
    assert "Modelver-Bump: none" in raw
    ident = box.git("hash-object", "-t", "tag", "-w", "--stdin", stdin=raw.replace("Bump: none", "Bump: nine"))
    box.git("update-ref", f"refs/tags/{tag}", ident)
    (box.root / ".git/modelver/known-tags.jsonl").unlink()


def state(box: Sandbox, **options) -> str:
    return verdict(box, **options)["signature"]["state"]


def test_an_unsigned_version(model_repo):
    model_repo.mv("tag", "m")
    assert state(model_repo) == "unsigned"
    one = verdict(model_repo, ok=False, require_signature=True)
    assert (kinds(one), one["problems"][0]["message"]) == (["signature"], "it is not signed")


def test_ssh_signatures(signing, tmp_path):
    signing.mv("tag", "m", "--sign")
    assert state(signing) == "unknown"
    one = verdict(signing, ok=False, require_signature=True)
    assert "SHA256:" in one["problems"][0]["message"]  # the key's fingerprint, to find out whose it is
    trust(signing, "both")
    assert state(signing, require_signature=True) == "good"
    assert "maria-key@example.com" in verdict(signing)["signature"]["signers"]
    assert "good (maria-key@example.com)" in signing.mv("verify").out
    assert state(signing, signers=tmp_path / "maria") == "good"
    one = verdict(signing, ok=False, signers=tmp_path / "otto")
    assert (one["signature"]["state"], kinds(one)) == ("unknown", ["signature"])
    done = signing.mv("verify", "--signers", "../otto", status=1)
    assert "signed by nobody whom" in done.out
    signing.mv("verify", "--signers", "../both", "--require-signature")


@pytest.mark.parametrize("options", [{}, {"require_signature": True}])
def test_an_ssh_signature_of_other_bytes(signing, options):
    trust(signing, "both")
    signing.mv("tag", "m", "--sign")
    tamper(signing, "m@v1.0.0")
    one = verdict(signing, ok=False, **options)
    assert (one["signature"]["state"], kinds(one)) == ("bad", ["signature"])


def test_a_signature_that_is_none(signing):
    trust(signing, "both")
    signing.mv("tag", "m", "--sign")
    raw = signing.run("git", "cat-file", "tag", "m@v1.0.0").out
    head, _, armor = raw.partition("-----BEGIN SSH SIGNATURE-----\n")
    broken = f"{head}-----BEGIN SSH SIGNATURE-----\nAAAA{armor[4:]}"
    ident = signing.git("hash-object", "-t", "tag", "-w", "--stdin", stdin=broken)
    signing.git("update-ref", "refs/tags/m@v1.0.0", ident)
    (signing.root / ".git/modelver/known-tags.jsonl").unlink()
    assert kinds(verdict(signing, ok=False)) == ["signature"]


def test_the_signature_of_another_tag(signing):
    """Cut out and put under a message of one's own."""
    trust(signing, "both")
    signing.mv("tag", "m", "--sign")
    raw = signing.run("git", "cat-file", "tag", "m@v1.0.0").out
    message, _, armor = raw.partition("-----BEGIN SSH")
    ident = signing.git(
        "hash-object",
        "-t",
        "tag",
        "-w",
        "--stdin",
        stdin=f"{message.replace('A U Thor', 'A N Other')}-----BEGIN SSH{armor}",
    )
    signing.git("update-ref", "refs/tags/m@v1.0.0", ident)
    (signing.root / ".git/modelver/known-tags.jsonl").unlink()
    assert kinds(verdict(signing, ok=False)) == ["signature"]


POLICY = "  environments:\n    qa: {}\n    prod:\n      signers: [maria-key@example.com]\n"


def test_signers_of_an_environment(signing):
    """What is in force, and what was decided after it, is signed by one of them; what came before is history."""
    trust(signing, "both")
    signing.mv("tag", "m")
    signing.mv("promote", "v1.0.0", "qa")
    signing.mv("promote", "v1.0.0", "prod")
    signing.mv("rollback", "m", "--to-nothing", "--env", "prod")
    path = signing.root / "params.yaml"
    signing.write("params.yaml", path.read_text().replace("modelver:\n", "modelver:\n" + POLICY))
    signing.commit("policy", "params.yaml")
    decisions = report(signing)["decisions"]
    assert [(one["tag"], kinds(one)) for one in decisions] == [
        ("m#qa#1", []), ("m#prod#2", ["signature"]), ("m#prod!#3", ["signature"]),
    ]  # fmt: skip
    signing.mv("promote", "v1.0.0", "prod")
    assert report(signing)["ok"]
    use(signing, "otto")
    signing.git("tag", "-s", "-m", "Take it out", "m#prod!#5", "m@v1.0.0^{commit}")
    one = verdict(signing, "m#prod!#5", ok=False)
    assert kinds(one) == ["signature"]
    assert "otto-key@example.com" in one["problems"][0]["message"]
    assert "only maria-key@example.com may decide there" in one["problems"][0]["message"]
    assert report(signing, ref="m#qa#1")["ok"]


@pytest.fixture
def gpg(model_repo):
    """Git signs with a GPG key; the home is in a short path, for the agent's socket."""
    if GPG is None:
        pytest.skip("gpg is not installed")
    home = Path(tempfile.mkdtemp(prefix="g", dir="/tmp"))
    model_repo.env["GNUPGHOME"] = str(home)
    home.chmod(0o700)
    model_repo.run(
        "gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", "Gerda <gerda@example.com>", "ed25519"
    )
    listed = model_repo.run("gpg", "--list-keys", "--with-colons").out
    print_ = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    model_repo.git("config", "user.signingKey", print_)
    yield model_repo, print_
    subprocess.run(["gpgconf", "--kill", "all"], env=model_repo.env, check=False)
    shutil.rmtree(home, ignore_errors=True)


def test_gpg_signatures(gpg, tmp_path):
    box, print_ = gpg
    box.mv("tag", "m", "--sign")
    one = verdict(box, require_signature=True)
    assert one["signature"]["state"] == "good"
    assert {"gerda@example.com", print_} <= {*one["signature"]["signers"]}
    ssh_key(box, "maria")
    one = verdict(box, ok=False, signers=tmp_path / "maria.pub")
    assert (one["signature"]["state"], kinds(one)) == ("unknown", ["signature"])
    stranger = Sandbox(box.root, {**environment(tmp_path / "stranger"), "GNUPGHOME": str(tmp_path / "empty")})
    (tmp_path / "empty").mkdir(mode=0o700)
    assert state(stranger) == "unknown"
    assert kinds(verdict(stranger, ok=False, require_signature=True)) == ["signature"]
    tamper(box, "m@v1.0.0")
    one = verdict(box, ok=False)
    assert (one["signature"]["state"], kinds(one)) == ("bad", ["signature"])
