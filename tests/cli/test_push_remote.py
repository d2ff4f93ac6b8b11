"""Where `modelver push` goes: a password in its URL, a line that is not encrypted, the branch that HEAD's follows."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from git_http import GitHttp
from published import Hub, with_folder, with_hub
from sandbox import InProcess, Sandbox, environment

PASSWORD = "Kw7a/Kw7b@Kw7c+Kw7d%Kw7e:Kw7f#Kw7g"
"""Each piece of it is told from any other text."""

ELSEWHERE = "git.example.invalid"
"""A host that is not this machine; a proxy answers for it."""


@pytest.fixture(scope="module")
def tagged(model_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m@v1.0.0, a bare ``origin`` and a DVC remote; nothing is pushed."""
    tmp = tmp_path_factory.mktemp("tagged")
    shutil.copytree(model_template, tmp / "repo", symlinks=True)
    box = InProcess(tmp / "repo", environment(tmp / "home"))
    with_hub(box)
    with_folder(box)
    box.mv("tag", "m")
    return tmp


@pytest.fixture
def box(tagged: Path, tmp_path: Path) -> Sandbox:
    for name in ("repo", "hub.git"):
        shutil.copytree(tagged / name, tmp_path / name, symlinks=True)
    box = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    box.git("status")
    return box


@pytest.fixture
def hub(box: Sandbox, tmp_path: Path) -> Hub:
    return Hub(tmp_path / "hub.git", Sandbox(tmp_path, box.env))


@pytest.fixture
def server(box: Sandbox, hub: Hub, tmp_path: Path) -> Iterator[GitHttp]:
    hub.git("config", "http.receivepack", "true")
    with GitHttp(tmp_path, box.env, "user", PASSWORD).running() as server:
        yield server


def leaks(data: bytes | str) -> list[str]:
    text = data.decode("latin-1") if isinstance(data, bytes) else data
    return re.findall(r"Kw7[a-g]", text)


def state(box: Sandbox) -> dict[str, bytes]:
    """All that modelver keeps, by path."""
    top = box.root / ".git/modelver"
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_a_password_in_the_url_is_told_and_kept_nowhere(box: Sandbox, hub: Hub, server: GitHttp) -> None:
    url = server.url("hub.git")
    assert quote(PASSWORD, safe="") in url
    done = [box.mv("push", "--remote", url, "--dry-run"), box.mv("push", "--remote", url, "--format", "json")]
    assert done[1].json()["remote"] == f"http://{server.host}/hub.git"
    assert hub.tags() == ["m@v1.0.0"]
    assert any(line.startswith("POST /hub.git/git-receive-pack") and right for line, right in server.asked)

    # `git push -u URL` writes this
    box.git("config", "branch.main.remote", url)
    box.git("config", "branch.main.merge", "refs/heads/main")
    box.change("m", 2)
    box.commit("next")
    done += [
        box.mv("tag", "m"),
        box.mv("verify", "--all", "--remote", status=None),
        box.mv("verify", "--all", "--remote", "--format", "json", status=None),
        box.mv("promote", "m@v1.0.1", "staging", "--dry-run", "--format", "json", status=None),
        box.mv("promote", "m@v1.0.1", "prod", "--reason", "x", status=None),
        box.mv("check", status=None),
        box.mv("doctor", status=None),
        box.mv("push"),
        box.mv("yank", "m@v1.0.0", "--reason", "x"),
    ]
    hub.git("update-ref", "-d", "refs/tags/m@v1.0.1")
    gone = box.mv("verify", "--all", "--remote", status=1)
    assert "was deleted there" in gone.err + gone.out, "what is remembered of a remote is found again"
    hub.git("tag", "-a", "-m", "another", "m@v1.0.1", "main")
    done += [gone, box.mv("push", status=2), box.mv("verify", "--all", "--remote", status=1)]
    said = "\n".join(one.out + one.err for one in done)
    assert leaks(said) == []
    assert f"http://{server.host}/hub.git: pushed m@v1.0.1" in said
    kept = state(box)
    assert {name: leaks(data) for name, data in kept.items() if leaks(data)} == {}
    remotes = {json.loads(line)["remote"] for line in kept["known-tags.jsonl"].splitlines()}
    assert remotes == {"", f"http://{server.host}/hub.git"}


def test_what_was_remembered_with_its_password_still_counts(box: Sandbox, hub: Hub, server: GitHttp) -> None:
    url = server.url("hub.git")
    tag, commit = box.git("rev-parse", "m@v1.0.0", "m@v1.0.0^{}").split()
    (box.root / ".git/modelver/known-tags.jsonl").write_text(
        json.dumps({"tag": "m@v1.0.0", "id": tag, "commit": commit, "how": "published", "remote": url}) + "\n"
    )
    box.git("config", "branch.main.remote", url)
    done = box.mv("verify", "m@v1.0.0", "--remote", status=1)
    said = done.out + done.err
    assert "was deleted there" in said
    assert server.host in said
    assert leaks(said) == []


def test_a_wrong_password_is_told_nowhere(box: Sandbox, server: GitHttp) -> None:
    url = server.url("hub.git").replace("Kw7g", "Kw7f")
    done = box.mv("push", "--remote", url, status=3)
    assert server.host in done.err
    assert leaks(done.out + done.err) == []
    assert [right for _, right in server.asked] == [False] * len(server.asked) != []


@pytest.mark.parametrize("password", [PASSWORD, "Kw7a/Kw7b", "Kw7a@Kw7b", "Kw7a Kw7b", "Kw7a#Kw7b?"])
@pytest.mark.parametrize("command", ["push", "get"])
def test_a_password_that_is_not_encoded(box: Sandbox, command: str, password: str) -> None:
    url = f"https://user:{password}@127.0.0.1:9/x.git"
    words = ("push", "--remote", url) if command == "push" else ("get", "m@v1", "--repo", url)
    done = box.mv(*words, status=None)
    assert done.status in (2, 3)
    assert "127.0.0.1:9/x.git" in done.err
    assert leaks(done.out + done.err) == []


@pytest.fixture
def plain(box: Sandbox, server: GitHttp) -> str:
    """The URL of the hub on another machine, over http, where a word that is sent arrives."""
    box.git("config", "http.proxy", f"http://{server.host}")
    return server.url("hub.git", ELSEWHERE)


def settings(box: Sandbox, how: str, url: str) -> tuple[str, ...]:
    """Have the Git remote at an URL, in one of the ways that Git knows; the options that name it."""
    https = f"https://{ELSEWHERE}/"
    match how:
        case "url":
            return ("--remote", url)
        case "pushInsteadOf a url":
            box.git("config", f"url.{url.removesuffix('hub.git')}.pushInsteadOf", https)
            box.git("config", "url.http://wrong.invalid/.pushInsteadOf", https[:-1])
            return ("--remote", f"{https}hub.git")
        case "branch":
            box.git("config", "branch.main.remote", url)
        case "origin":
            box.git("remote", "set-url", "origin", url)
        case "pushurl":
            box.git("remote", "set-url", "--push", "origin", url)
        case "insteadOf":
            box.git("config", f"url.{url.removesuffix('hub.git')}.insteadOf", "work:")
            box.git("remote", "set-url", "origin", "work:hub.git")
        case "pushInsteadOf":
            box.git("config", f"url.{url.removesuffix('hub.git')}.pushInsteadOf", https)
            box.git("remote", "set-url", "origin", f"{https}hub.git")
    return ()


@pytest.mark.parametrize(
    "how", ["url", "branch", "origin", "pushurl", "insteadOf", "pushInsteadOf", "pushInsteadOf a url"]
)
def test_nothing_is_pushed_over_a_line_that_is_not_encrypted(
    box: Sandbox, hub: Hub, server: GitHttp, plain: str, how: str
) -> None:
    options = settings(box, how, plain)
    done = box.refused("push", *options)
    assert f"http://{ELSEWHERE}/hub.git" in done.err
    assert "is not encrypted" in done.err
    assert "--plain-http" in box.hint(done)
    assert server.asked == []
    assert leaks(done.err) == []
    assert hub.refs() == {}
    if "nsteadOf a url" not in how and how != "pushInsteadOf":  # their https can't be asked here
        box.mv("push", *options, "--plain-http")
        assert hub.tags() == ["m@v1.0.0"]


@pytest.mark.parametrize("scheme", ["git", "ftp", "HTTP", "http::http"])
def test_other_lines_that_are_not_encrypted(box: Sandbox, scheme: str) -> None:
    done = box.refused("push", "--remote", f"{scheme}://{ELSEWHERE}/x.git")
    assert "is not encrypted" in done.err


@pytest.mark.parametrize("command", [("gc", "--dry-run"), ("verify", "--all", "--remote")])
def test_what_goes_by_a_remotes_word_asks_none_that_anybody_could_answer_for(
    box: Sandbox, hub: Hub, server: GitHttp, plain: str, command: tuple[str, ...]
) -> None:
    box.git("remote", "set-url", "origin", plain)
    done = box.refused(*command)
    assert "origin is at http://git.example.invalid/hub.git, which is not encrypted" in done.err
    assert server.asked == []
    done = box.mv(*command, "--plain-http", status=None)
    assert "encrypted" not in done.err
    assert any(right for _, right in server.asked)


def test_a_tag_or_decision_is_made_without_asking_it(box: Sandbox, server: GitHttp, plain: str) -> None:
    box.git("remote", "set-url", "origin", plain)
    box.change("m", 2)
    box.commit("next")
    for command in (("tag", "m"), ("promote", "m@v1.0.0", "prod", "--reason", "x"), ("yank", "m@v1.0.0")):
        done = box.mv(*command)
        assert "warning: remote origin could not be asked" in done.err, command
        assert "is not encrypted" in done.err
    assert server.asked == []
    assert box.tags() == ["m#prod#1", "m@v1.0.0", "m@v1.0.0!", "m@v1.0.1"]


def test_doctor_names_the_line(box: Sandbox, server: GitHttp, plain: str) -> None:
    box.git("remote", "set-url", "origin", plain)
    done = box.mv("doctor", status=None)
    assert "origin is at http://git.example.invalid/hub.git, which is not encrypted" in done.out + done.err
    assert leaks(done.out + done.err) == []
    assert server.asked == []


def follows(box: Sandbox, hub: Hub, name: str = "main") -> str:
    """Have ``work`` checked out with a version that is not pushed, tracking the remote's branch; its base there."""
    box.git("push", "-q", "--no-verify", "origin", "main^:refs/heads/main")
    box.git("fetch", "-q", "origin")
    box.git("switch", "-q", "-c", "work", "main")
    box.git("branch", "-q", f"--set-upstream-to=origin/{name}")
    return hub.refs()["refs/heads/main"]


@pytest.mark.parametrize("way", ["upstream", "tracking"])
def test_the_branch_that_heads_follows_moves(box: Sandbox, hub: Hub, way: str) -> None:
    old = follows(box, hub)
    box.git("config", "push.default", way)
    commit = box.git("rev-parse", "m@v1.0.0^{}")
    done = box.mv("push", "--format", "json").json()
    assert done["branch"] == {"name": "main", "old": old, "new": commit}
    assert hub.refs() == {"refs/heads/main": commit, "refs/tags/m@v1.0.0": box.git("rev-parse", "m@v1.0.0")}
    assert box.git("rev-parse", "origin/main") == commit


@pytest.mark.parametrize("way", ["", "simple", "nothing"])
def test_a_branch_of_another_name_is_left_where_git_itself_would_not_move_it(box: Sandbox, hub: Hub, way: str) -> None:
    old = follows(box, hub)
    if way:
        box.git("config", "push.default", way)
    refused = box.run("git", "push", "--dry-run", status=128)
    assert "upstream branch" in refused.err or "push.default" in refused.err
    done = box.mv("push")
    assert hub.refs() == {"refs/heads/main": old, "refs/tags/m@v1.0.0": box.git("rev-parse", "m@v1.0.0")}
    assert "is left as it is" in done.err
    if way != "nothing":
        said = re.search(r"to move it: (.*), or (.*)\)", done.err)
        assert said is not None
        for command in said.groups():
            box.run("sh", "-c", command)
        assert hub.refs()["refs/heads/main"] == box.git("rev-parse", "work")
        box.git("push", "-q", "--dry-run")  # Git is content too


def test_a_branch_goes_by_its_own_name_where_that_is_asked_for(box: Sandbox, hub: Hub) -> None:
    old = follows(box, hub)
    box.git("config", "push.default", "current")
    assert box.mv("push", "--format", "json").json()["branch"]["name"] == "work"
    assert hub.refs()["refs/heads/main"] == old


@pytest.mark.parametrize("where", ["pushRemote", "--remote"])
def test_on_another_remote_than_the_branchs_own_the_name_is_heads(
    box: Sandbox, hub: Hub, tmp_path: Path, where: str
) -> None:
    follows(box, hub)
    box.git("config", "push.default", "upstream")
    shutil.copytree(hub.path, tmp_path / "fork.git")
    box.git("remote", "add", "fork", "../fork.git")
    options = ("--remote", "fork") if where == "--remote" else ()
    if not options:
        box.git("config", "branch.work.pushRemote", "fork")
    assert box.mv("push", *options, "--format", "json").json()["branch"]["name"] == "work"


def test_nothing_is_said_of_a_branch_that_has_it_all(box: Sandbox, hub: Hub) -> None:
    box.git("push", "-q", "--no-verify", "origin", "main")
    box.git("switch", "-q", "-c", "work", "--track", "origin/main")
    assert "note:" not in box.mv("push").err
    assert hub.tags() == ["m@v1.0.0"]
