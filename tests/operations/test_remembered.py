"""What is remembered of a DVC remote's objects, and for how long it is believed."""

import time

import pytest

from modelver.adapters.dvc import Stored
from modelver.operations.remembered import Remembered, settled

NAME = "0123456789abcdef0123456789abcdef"


def stored(size: int = 5, stamp: str = "1-2-3", modified: float | None = 1.5) -> Stored:
    return Stored(NAME, size, stamp, modified)


def test_known_by_remote_name_size_and_stamp(tmp_path):
    memory = Remembered(tmp_path)
    assert memory.get("here", stored()) is None
    memory.put("here", stored(), "ab")
    assert memory.get("here", stored()) == "ab"
    assert memory.get("there", stored()) is None
    assert memory.get("here", stored(size=6)) is None
    assert memory.get("here", stored(stamp="1-2-4")) is None
    memory.close()
    assert Remembered(tmp_path).get("here", stored()) == "ab"
    memory.put("here", stored(stamp="new"), "cd")
    assert memory.get("here", stored()) is None, "one object has one stamp"
    memory.forget("here", NAME)
    assert memory.get("here", stored(stamp="new")) is None


ETAG = '"9a0364b9e99bb480dd25e1f0284c8555"'


@pytest.mark.parametrize(
    ("stamp", "age", "wanted"),
    [
        ("1-2-3", 10.25, True),
        ("1-2-3", 0.0, True),  # waits for the clock to tick on
        ("17", None, False),  # whole seconds, this very one: another write could leave the same
        ("17", 5, True),
        (ETAG, None, True),  # says what the content is, whenever it was written
        (ETAG[:-1] + '-3"', None, True),
        ("", 10.25, False),  # the storage has no mark at all
    ],
)
def test_what_is_settled(stamp, age, wanted):
    now = time.time()
    modified = float(int(now)) if age is None else float(int(now) - age) if isinstance(age, int) else now - age
    assert settled(stored(stamp=stamp, modified=modified)) == wanted
    assert time.time() - now < 1


def test_storage_without_times_is_believed_by_its_stamp():
    assert settled(stored(stamp="generation 7", modified=None))
