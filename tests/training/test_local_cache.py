import os
import time
from pathlib import Path

import pytest

from data_filters.errors import UserError
from hermes_train.training.local_cache import KEPT_SECONDS, LocalCache, local_cache_folder

ENDLESS = 1 << 60
"""More bytes than any disk has."""


def make(cache, name, content=b"tokens", first=0, end=10):
    with cache.making(name, first, end) as folder:
        (folder / "tokens").write_bytes(content)


def used(cache, name, seconds_ago=0.0):
    """Make a copy that was last read so long ago."""
    cache.lock(name, alone=True).close()
    make(cache, name)
    then = time.time() - seconds_ago
    os.utime(cache.folder / f"{name}.lock", (then, then))


@pytest.fixture
def cache(tmp_path):
    return LocalCache(tmp_path)


def copies(cache):
    return {path.name for path in cache.folder.iterdir() if path.is_dir()}


@pytest.mark.parametrize(
    ("first", "end", "covered"), [(0, 10, True), (4, 7, True), (4, 10, True), (4, 11, False), (0, 99, False)]
)
def test_a_copy_serves_the_steps_that_it_was_made_for(cache, first, end, covered):
    make(cache, "a")

    assert cache.covers("a", first, end) is covered


@pytest.mark.parametrize("damage", ["cut", "gone", "facts"])
def test_a_copy_that_is_not_as_it_was_written_serves_nobody(cache, damage):
    make(cache, "a")
    assert cache.covers("a", 0, 10)
    if damage == "cut":
        os.truncate(cache.path("a") / "tokens", 3)
    elif damage == "gone":
        (cache.path("a") / "tokens").unlink()
    else:
        (cache.path("a") / "facts.json").write_bytes(b'{"first": 0, "en')

    assert not cache.covers("a", 0, 10)


def test_readers_share_a_copy_and_its_maker_is_alone(cache):
    maker = cache.lock("a", alone=True)
    assert cache.lock("a", alone=False) is None

    cache.admit_readers(maker)

    reader = cache.lock("a", alone=False)
    assert reader is not None
    assert cache.lock("a", alone=True) is None
    maker.close()
    reader.close()
    assert cache.lock("a", alone=True) is not None


def test_room_is_made_by_removing_what_is_longest_unread_and_never_what_is_read(cache):
    used(cache, "old", seconds_ago=3600)
    used(cache, "older", seconds_ago=7200)
    used(cache, "read", seconds_ago=9000)
    used(cache, "made", seconds_ago=9000)
    with cache.lock("read", alone=False), cache.lock("made", alone=True):
        assert cache.make_room(0) > 0
        assert copies(cache) == {"old", "older", "read", "made"}, "there was room already"

        assert cache.make_room(ENDLESS) < ENDLESS

        assert copies(cache) == {"read", "made"}


def test_the_copy_that_was_read_last_stays_where_the_others_gave_room_enough(cache, monkeypatch):
    for name, hours in (("new", 1), ("middle", 2), ("old", 3)):
        used(cache, name, seconds_ago=3600 * hours)
    # No test can fill a disk of unknown size: this one has room for two.
    monkeypatch.setattr(LocalCache, "room", lambda cache: 100 - 30 * len(copies(cache)))

    cache.make_room(35)

    assert copies(cache) == {"new", "middle"}


def test_copies_that_nobody_came_back_to_go_even_where_there_is_room(cache):
    used(cache, "forgotten", seconds_ago=KEPT_SECONDS + 60)
    used(cache, "waiting", seconds_ago=KEPT_SECONDS - 60)

    cache.make_room(0)

    assert copies(cache) == {"waiting"}
    assert not (cache.folder / "forgotten.lock").exists()


def test_a_copy_cut_off_in_the_making_is_removed_with_the_copies_of_its_name(cache):
    cache.lock("a-1", alone=True).close()
    (cache.folder / "a-1.part").mkdir()
    used(cache, "a-2")
    used(cache, "b")

    cache.remove_all_unread("a-")

    assert copies(cache) == {"b"}


def test_a_maker_that_fails_leaves_nothing(cache):
    with pytest.raises(OSError, match="No space"), cache.making("a", 0, 10) as folder:
        (folder / "tokens").write_bytes(b"some")
        raise OSError(28, "No space left on device")

    assert copies(cache) == set()


def test_copies_are_their_users_own(cache):
    assert cache.folder.name == f"hermes-train-{os.geteuid()}"
    assert cache.folder.stat().st_mode & 0o777 == 0o700


def test_the_site_names_the_disk_by_a_variable(monkeypatch):
    monkeypatch.setenv("HERMES_LOCAL_CACHE", "/local/scratch")
    assert local_cache_folder() == Path("/local/scratch")
    monkeypatch.setenv("HERMES_LOCAL_CACHE", "")
    assert local_cache_folder() is None


def test_a_disk_that_a_node_lacks_is_named(tmp_path):
    with pytest.raises(UserError, match=r"HERMES_LOCAL_CACHE is .*missing, where .* cannot make a folder"):
        LocalCache(tmp_path / "missing")
