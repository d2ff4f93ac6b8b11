"""Guarantee 15: secrets never reach tags, sidecars, logs, errors or reports.

Each place that may hold a secret holds a canary of its own; all commands run, those that fail too, and everything that
they said and left behind is searched, in plain, in percent and in base64 encoding, whole and in pieces: each canary
holds the characters at which a URL, a shell or a configuration ends something.
"""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from sandbox import Sandbox, environment

import models

GUARANTEE = 15

ENVIRONMENT = (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "GITLAB_TOKEN", "CI_JOB_TOKEN",
    "HF_TOKEN", "MODELVER_TOKEN", "DATABASE_PASSWORD", "AZURE_STORAGE_KEY", "AZURE_STORAGE_CONNECTION_STRING",
    "GOOGLE_API_KEY", "OSS_ACCESS_KEY_SECRET", "SSH_ASKPASS_PASSWORD", "TWINE_PASSWORD", "MODELVER_KEY_PASSWORD",
    "UNNAMED_THING",
)  # fmt: skip
"""Variables that hold a canary each; the last has a name that says nothing."""

FORMATS = ("table", "json", "markdown")

NOWHERE = "127.0.0.1:9"
"""The discard port, at which nobody listens."""

COMMANDS: tuple[tuple[str, ...], ...] = (
    *(
        (command, *words, "--format", form)
        for form in FORMATS
        for command, *words in (
            ("list",),
            ("show", "m@v1.0.0"),
            ("show",),
            ("diff", "m@v1.0.0", "m@v1.1.0"),
            ("log", "m"),
            ("status",),
            ("check", "m@v1.0.0"),
            ("verify", "--all"),
            ("verify", "--all", "--remote"),
            ("doctor",),
            ("push", "--dry-run"),
            ("push",),
            ("gc", "--remote", "--dry-run"),
            ("gc", "--dry-run"),
            ("promote", "m@v1.0.0", "prod", "--dry-run"),
            ("portability", "m@v1.1.0"),
        )
    ),
    ("push", "--remote", "denied"),
    ("push", "--remote", "raw"),
    ("push", "--remote", "work:x.git"),
    ("push", "--remote", "https://user:{url}@127.0.0.1:9/other.git"),
    ("push", "--remote", "https://user:{encoded}@127.0.0.1:9/other.git"),
    ("push", "--remote", "http://user:{encoded}@example.invalid/other.git"),
    ("push", "--dvc-remote", "web"),
    ("push", "--dvc-remote", "s3"),
    ("push", "--dvc-remote", "ssh"),
    ("push", "--dvc-remote", "missing"),
    ("push", "--dvc-remote", "own"),
    ("push", "--dvc-remote", "own-raw"),
    ("verify", "--all", "--remote", "--dvc-remote", "web"),
    ("verify", "--all", "--remote", "--dvc-remote", "s3"),
    ("verify", "--all", "--remote", "--dvc-remote", "own"),
    ("gc", "--dvc-remote", "web", "--dry-run"),
    ("gc", "--dvc-remote", "s3", "--dry-run", "--no-fetch"),
    ("get", "m@v1.0.0", "-o", "got"),
    ("get", "m@v1.0.0", "-o", "got2", "--dvc-remote", "s3"),
    ("get", "m@v1.0.0", "--repo", "https://user:{url}@127.0.0.1:9/x.git"),
    ("get", "m@v1.0.0", "--repo", "https://user:{encoded}@127.0.0.1:9/x.git"),
    ("get", "m@v1.0.0", "--repo", "work:x.git"),
    ("get", "m@v1.0.0", "--repo", "https://{url}@127.0.0.1:9/x.git"),
    ("get", "m@v1.0.0", "--repo", "http://user:{url}@example.invalid/x.git"),
    ("get", "m@v1.0.0", "--repo", "ftp://user:{url}@127.0.0.1:9/x.git"),
    ("get", "m@v1.0.0", "--repo", "ssh://user:{url}@127.0.0.1:9/x.git"),
    ("get", "m@v1.0.0", "--repo", "file://user:{url}@/nowhere"),
    ("get", "nothing@v1.0.0"),
    ("tag", "m", "--force-new", "--push"),
    ("tag", "m", "--force-new"),
    ("promote", "m@v1.0.0", "prod", "--reason", "because"),
    ("promote", "m@v1.1.0", "prod", "--push"),
    ("rollback", "m", "m@v1.0.0", "--env", "prod", "--reason", "x"),
    ("yank", "m@v1.1.0", "--reason", "x"),
    ("rollback", "m", "m@v1.0.0", "--commit", "--reason", "x"),
    ("add", "other", "missing.onnx"),
    ("record", "m"),
    ("restore", "--force"),
    ("stage", "assess", "m"),
    ("stage", "validate", "m"),
    ("stage", "export", "sk"),
    ("backup", "../backup"),
    ("sign", "m@v1.0.0", "-k", "../key.pem"),
    ("sign", "m@v1.0.0", "-k", "../other.pem", "-o", "other.sig"),
    ("client", "m@v1.1.0"),
    ("hook", "install"),
    ("init",),
    ("init", "--remote", "s3://user:{url}@bucket/x", "--dry-run"),
    ("init", "--remote", "https://user:{url}@127.0.0.1:9/x"),
    ("-C", "nowhere", "list"),
)
"""One line a command; ``{url}`` is a canary as it is, ``{encoded}`` in percent encoding."""


def cases() -> int:
    """Command lines."""
    return len(COMMANDS)


@pytest.fixture(scope="module")
def secrets() -> dict[str, str]:
    """Place → canary: each another one, and none that a word or a hash could hold by chance."""
    places = [*ENVIRONMENT, "url", "git remote", "git push url", "denied remote", "local secret key", "local token",
              "local password", "connection string", "dvc url", "aws file", "netrc", "git credentials",
              "extra header", "raw remote", "instead of", "own url", "own password", "other key"]  # fmt: skip
    return {place: canary(number) for number, place in enumerate(places)}


def canary(number: int) -> str:
    """``zQ07aCanary/zQ07bCanary@…``: each piece tells whose it is."""
    pieces = [f"zQ{number:02d}{letter}Canary" for letter in "abcdefg"]
    return "".join(f"{piece}{mark}" for piece, mark in zip(pieces, [*"/@+%:#", ""], strict=True))


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, secrets: dict[str, str]) -> Sandbox:
    top = tmp_path_factory.mktemp("secrets")
    box = Sandbox(top / "repo", environment(top / "home"))
    box.root.mkdir()
    (top / "storage").mkdir()
    box.env.update({name: secrets[name] for name in ENVIRONMENT})
    box.env.update(
        AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE",
        AWS_EC2_METADATA_DISABLED="true",
        GIT_SSH_COMMAND="ssh -oBatchMode=yes",
    )
    box.env["AZURE_STORAGE_CONNECTION_STRING"] = (
        f"AccountName=x;AccountKey={secrets['AZURE_STORAGE_CONNECTION_STRING']}"
    )
    box.env.update(AWS_MAX_ATTEMPTS="1")
    _home(top / "home", secrets, box.env)
    box.mv("init")
    remotes = {"storage": "../../storage", "web": f"https://user:{quote(secrets['dvc url'], safe='')}@{NOWHERE}/x",
               "ssh": f"ssh://user@{NOWHERE}/x", "s3": "s3://bucket/x"}  # fmt: skip
    box.write(".dvc/config", "[core]\n    remote = storage\n" + "".join(
        f"['remote \"{name}\"']\n    url = {url}\n" for name, url in remotes.items() if name != "web"))  # fmt: skip
    box.write(".dvc/config.local", f"""\
['remote "web"']
    url = {remotes['web']}
    auth = basic
    user = user
    password = "{secrets['local password']}"
['remote "s3"']
    endpointurl = http://{NOWHERE}
    access_key_id = AKIAIOSFODNN7EXAMPLE
    secret_access_key = "{secrets['local secret key']}"
    session_token = "{secrets['local token']}"
['remote "ssh"']
    password = "{secrets['local password']}"
['remote "azure"']
    url = azure://container/x
    connection_string = "AccountName=x;AccountKey={secrets['connection string']};EndpointSuffix=127.0.0.1"
""")  # fmt: skip
    encoded = {place: quote(value, safe="") for place, value in secrets.items()}
    box.git("remote", "add", "origin", f"https://user:{encoded['git remote']}@{NOWHERE}/x.git")
    box.git("remote", "set-url", "--push", "origin", f"https://user:{encoded['git push url']}@{NOWHERE}/x.git")
    box.git("remote", "add", "raw", f"https://user:{secrets['raw remote']}@{NOWHERE}/x.git")
    box.git("config", "--global", f"url.https://user:{encoded['instead of']}@{NOWHERE}/.insteadOf", "work:")
    box.git("remote", "add", "denied", f"file://user:{secrets['denied remote']}@localhost/nowhere/x.git")
    box.git("config", f"http.https://{NOWHERE}/.extraHeader", f"Authorization: Basic {secrets['extra header']}")
    box.commit("start")
    box.add_model("m", 1)
    box.mv("tag", "m")
    models.onnx(top / "incoming" / "m.onnx", 1)
    box.change("m", 2)
    box.commit("next")
    box.mv("tag", "m", "--version", "v1.1.0")
    for name, place in (("key", "MODELVER_KEY_PASSWORD"), ("other", "other key")):
        make = ("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes256")
        box.run(*make, "-pass", "env:PASSWORD", "-out", f"../{name}.pem", PASSWORD=secrets[place])
    _pipeline(box)
    return box


def _home(home: Path, secrets: dict[str, str], env: dict[str, str]) -> None:
    (home / ".aws").mkdir()
    (home / ".aws" / "credentials").write_text(
        f"[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = {secrets['aws file']}\n"
    )
    (home / ".netrc").write_text(f"machine 127.0.0.1 login user password {secrets['netrc']}\n")
    (home / ".netrc").chmod(0o600)
    (home / ".git-credentials").write_text(f"https://user:{quote(secrets['git credentials'], safe='')}@{NOWHERE}\n")
    (home / ".config" / "dvc").mkdir(parents=True)
    (home / ".config" / "dvc" / "config").write_text(f"""\
['remote "own"']
    url = https://user:{quote(secrets["own url"], safe="")}@{NOWHERE}/x
    auth = basic
    password = "{secrets["own password"]}"
['remote "own-raw"']
    url = "https://user:{secrets["own url"]}@{NOWHERE}/x"
""")
    with Path(env["GIT_CONFIG_GLOBAL"]).open("a") as config:
        config.write("[credential]\n\thelper = store\n")


def _pipeline(box: Sandbox) -> None:
    """A scikit-learn model whose export stage looks at its environment."""
    code = """
import joblib, numpy as np
from sklearn.linear_model import LogisticRegression
rng = np.random.default_rng(0)
x = rng.standard_normal((60, 4)); y = (x[:, 0] > 0).astype(int)
joblib.dump(LogisticRegression().fit(x, y), 'sk.joblib')
np.savez('test.npz', x=x[:20].astype('float32'), y=y[:20])
"""
    pytest.importorskip("sklearn")
    box.run(sys.executable, "-P", "-c", code)
    box.mv("add", "sk", "sk.joblib", "--framework", "sklearn", "--data", "test.npz")
    box.commit("sk")


@pytest.fixture(scope="module")
def said(box: Sandbox, secrets: dict[str, str]) -> list[tuple[str, str]]:
    """Every command line, and what it said; all of them run in this one fixture, since each leaves something behind."""
    known = _known()
    answers = []
    for line in COMMANDS:
        if line[0] not in known:
            continue
        encoded = quote(secrets["url"], safe="")
        words = [word.replace("{url}", secrets["url"]).replace("{encoded}", encoded) for word in line]
        done = box.mv(*words, status=None, GIT_TRACE2="0")
        assert done.status in (0, 1, 2, 3), done
        answers.append((" ".join(line), f"{done.out}\n{done.err}"))
    for url in (f"https://user:{secrets['url']}@{NOWHERE}/x.git", f"https://user:{encoded}@{NOWHERE}/x.git"):
        loaded = box.run(sys.executable, "-P", "-c", _LOAD, stdin=url)
        answers.append(("modelver.load", f"{loaded.out}\n{loaded.err}"))
    return answers


_LOAD = """
import sys, traceback, modelver
try:
    modelver.load('m@v1.0.0', sys.stdin.read())
except modelver.errors.ModelverError:
    traceback.print_exc()
"""


def test_nothing_that_is_said(said: list[tuple[str, str]], secrets: dict[str, str]) -> None:
    found = [(line, place, text) for line, text in said for place in _in(text.encode(), secrets)]
    assert found == []
    joined = "\n".join(text for _, text in said)
    assert NOWHERE in joined, "nothing failed that had a URL to tell of"
    told = dict(said)
    assert "Signed" in told["sign m@v1.0.0 -k ../key.pem"] or "signed" in told["sign m@v1.0.0 -k ../key.pem"]
    assert NOWHERE in told["modelver.load"]
    assert NOWHERE in told["push --remote work:x.git"]
    assert NOWHERE in told["push --dvc-remote own"]


def test_nothing_that_git_keeps(said: list[tuple[str, str]], box: Sandbox, secrets: dict[str, str]) -> None:
    """Commits, trees, blobs, tags, with those that no ref names, and messages of reflogs."""
    objects = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch", "--unordered"], cwd=box.root, env=box.env,
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert b"Modelver-Version: v1.1.0" in objects
    assert _in(objects, secrets) == []


def test_nothing_that_lies_on_the_disk(said: list[tuple[str, str]], box: Sandbox, secrets: dict[str, str]) -> None:
    """The working tree, the state folder, caches, backups; but not where the user put the secrets."""
    top = box.root.parent
    own = {top / "home" / name for name in (".aws/credentials", ".netrc", ".git-credentials", "gitconfig")}
    own |= {box.root / ".dvc" / "config.local", box.root / ".git" / "config", top / "home/.config/dvc/config"}
    found, looked = [], 0
    for place, _, names in os.walk(top):
        for name in names:
            path = Path(place) / name
            if path.is_file() and not path.is_symlink() and path not in own:
                looked += 1
                found += [(str(path), where) for where in _in(path.read_bytes() + os.fsencode(str(path)), secrets)]
    assert found == []
    assert looked > 100


def test_what_a_backup_holds(
    said: list[tuple[str, str]], box: Sandbox, secrets: dict[str, str], tmp_path: Path
) -> None:
    bundles = [path for path in (box.root.parent / "backup").rglob("*") if path.is_file() and _is_bundle(path)]
    if "backup" not in _known():
        pytest.skip("there is no modelver backup yet")
    assert bundles
    for number, bundle in enumerate(bundles):
        target = tmp_path / str(number)
        box.run("git", "clone", "-q", "--bare", str(bundle), str(target))
        objects = subprocess.run(["git", "cat-file", "--batch-all-objects", "--batch"], cwd=target, env=box.env,
                                 capture_output=True, check=True).stdout  # fmt: skip
        assert _in(objects, secrets) == []


def test_the_source_record_of_an_export(said: list[tuple[str, str]], box: Sandbox) -> None:
    """It holds an environment; that it was written says that the search above saw it."""
    source = json.loads((box.root / "models/sk/source.json").read_text())
    assert source["environment"]["python"]
    assert source["environment"].keys() == {"python", "platform", "packages"}


def test_the_search_finds_each_encoding(secrets: dict[str, str]) -> None:
    value = secrets["netrc"]
    for text in (value, f"x{value}y", quote(value), quote(value, safe=""), *re.split("[/@+%:#]", value),
                 base64.b64encode(value.encode()).decode(),
                 base64.b64encode(f"user:{value}".encode()).decode()):  # fmt: skip
        assert _in(text.encode(), secrets) == ["netrc"], text
    assert _in(b"nothing", secrets) == []


def _in(data: bytes, secrets: dict[str, str]) -> list[str]:
    """Places of whose canaries a piece is in the data, or the whole within base64 of something around it."""
    found = set(re.findall(rb"zQ(\d\d)[a-g]Canary", data))
    if found:
        return [place for number, place in enumerate(secrets) if b"%02d" % number in found]
    return [place for place, value in secrets.items() if any(form in data for form in _encoded(value))]


def _encoded(value: str) -> Iterator[bytes]:
    """What of the value's base64 is the same whatever stands before and after it, for each of the three alignments."""
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + value.encode())
        start = (0, 2, 3)[shift]
        yield text[start : len(text) - 4]


def _is_bundle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(12).startswith(b"# v")


def _known() -> set[str]:
    from modelver.cli.main import _COMMANDS

    return {name for name, _ in _COMMANDS} | {"stage", "hook", "-C"}


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter22@host/x",
        "ssh://me:hunter22@host:22/x",
        "s3://:hunter22@bucket",
        "https://user:a/hunter22@host/x",
        "https://user:a@hunter22@host/x",
        "https://user:hunter22/b@host/x",
    ],
)
def test_a_password_is_not_committed(empty_repo: Sandbox, url: str) -> None:
    done = empty_repo.refused("init", "--remote", url)
    assert "hunter22" not in done.err
    assert "password" in done.err


def test_a_user_is_no_password(empty_repo: Sandbox) -> None:
    empty_repo.mv("init", "--remote", "ssh://me@host:22/x")
    assert "ssh://me@host:22/x" in (empty_repo.root / ".dvc" / "config").read_text()


def test_onnxruntime_tells_nobody_of_models(tmp_path: Path) -> None:
    """With its telemetry on a session id lies in a file beside other temporary ones, from its import on."""
    drop = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "ORT_DISABLE_TELEMETRY")
    env = {key: value for key, value in os.environ.items() if key not in drop}
    left = {}
    for name, program, choice in (
        ("on", "", None),
        ("off", "import modelver; ", None),
        ("asked", "import modelver; ", "0"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        more = {"TMPDIR": str(folder), **({"ORT_DISABLE_TELEMETRY": choice} if choice else {})}
        subprocess.run([sys.executable, "-P", "-c", f"{program}import onnxruntime"], env={**env, **more}, check=True)
        left[name] = sorted(path.name for path in folder.iterdir())
    assert left["off"] == []
    if left["on"]:  # an onnxruntime that has telemetry
        assert left["asked"] == left["on"]
