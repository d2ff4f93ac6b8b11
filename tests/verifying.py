"""`modelver verify` in the test's own process: a process for each look would take most of the time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sandbox import Sandbox

from modelver.operations.project import Project
from modelver.operations.verify import VerifyRequest, verify


@contextmanager
def inside(box: Sandbox) -> Iterator[Project]:
    """The sandbox's repository, opened in its environment."""
    with pytest.MonkeyPatch.context() as patch:
        for key in {*os.environ} - {*box.env}:
            patch.delenv(key)
        for key, value in box.env.items():
            patch.setenv(key, value)
        yield Project.open(box.root)


def report(box: Sandbox, **options: Any) -> dict[str, Any]:
    """What the command answers as JSON; options as in `VerifyRequest`."""
    with inside(box) as project:
        found = verify(project, VerifyRequest(**options)).to_dict()
    for verdict in [*found["versions"], *found["decisions"]]:
        assert verdict["ok"] is (not verdict["problems"])
    assert found["ok"] is all(v["ok"] for v in [*found["versions"], *found["decisions"]])
    return found


def verdict(box: Sandbox, tag: str = "m@v1.0.0", *, ok: bool = True, **options: Any) -> dict[str, Any]:
    """The verdict on one tag, which must be as expected."""
    found = report(box, **options)
    (one,) = [v for v in [*found["versions"], *found["decisions"]] if v["tag"] == tag]
    assert one["ok"] is ok, one
    return one


def kinds(one: dict[str, Any]) -> list[str]:
    """What sorts of problems a verdict names."""
    return [problem["kind"] for problem in one["problems"]]
