"""The worker's own images: what nobody used for long goes, and nothing else, whatever is left on the engine."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiodocker import Docker
from aiodocker.exceptions import DockerError

from asman_worker.images.usage import ImageUsage


class Engine:
    """The images of an engine, as `ImageUsage` asks for them."""

    def __init__(self, **sizes: int) -> None:
        self.sizes = sizes
        self.names: dict[str, list[str]] = {}
        self.refuses: set[str] = set()
        self.away = False
        self.images = self

    async def inspect(self, image: str) -> dict[str, Any]:
        if self.away:
            raise DockerError(900, "the engine is away")
        if image not in self.sizes:
            raise DockerError(404, "no such image")
        return {"Size": self.sizes[image], "RepoTags": list(self.names.get(image, ()))}

    async def delete(self, name: str) -> None:
        image = next((image for image, names in self.names.items() if name in names), name)
        if image in self.refuses:
            raise DockerError(409, "a container uses it")
        if name in self.names.get(image, []):
            self.names[image].remove(name)
        if not self.names.get(image):
            self.sizes.pop(image, None)


def docker(engine: Engine) -> Docker:
    made: Any = engine
    return made  # type: ignore[no-any-return]


def usage(tmp_path: Path, ages: dict[str, float], *, most: int = 0, age: float = 0) -> ImageUsage:
    """Images that were last used so many seconds ago."""
    file = tmp_path / "images.json"
    file.write_text(json.dumps({image: time.time() - ago for image, ago in ages.items()}))
    return ImageUsage(file, most=most, age=age)


async def test_without_bounds_everything_stays(tmp_path: Path) -> None:
    engine = Engine(a=10, b=20)
    assert await usage(tmp_path, {"a": 1e6, "b": 0}).trim(docker(engine)) == 30
    assert set(engine.sizes) == {"a", "b"}


async def test_what_nobody_used_for_long_goes_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    engine = Engine(old=10, new=10, theirs=10)
    assert await usage(tmp_path, {"old": 1000, "new": 10}, age=500).trim(docker(engine)) == 10
    assert set(engine.sizes) == {"new", "theirs"}


async def test_of_too_much_what_was_used_longest_ago_goes(tmp_path: Path) -> None:
    engine = Engine(a=10, b=10, c=10)
    assert await usage(tmp_path, {"a": 300, "b": 200, "c": 100}, most=20).trim(docker(engine)) == 20
    assert set(engine.sizes) == {"b", "c"}


async def test_what_a_job_holds_stays_and_goes_when_it_is_let_go(tmp_path: Path) -> None:
    engine = Engine(a=10)
    images = usage(tmp_path, {"a": 1000}, most=5)
    images.hold("a")
    images.hold("a")
    images.let_go("a")
    assert await images.trim(docker(engine)) == 10
    images.let_go("a")
    assert await images.trim(docker(engine)) == 0
    assert engine.sizes == {}


async def test_a_use_makes_an_image_the_newest(tmp_path: Path) -> None:
    engine = Engine(a=10, b=10)
    images = usage(tmp_path, {"a": 1000, "b": 10}, most=10)
    images.hold("a")
    images.let_go("a")
    await images.trim(docker(engine))
    assert set(engine.sizes) == {"a"}


async def test_all_names_of_an_image_are_taken_away(tmp_path: Path) -> None:
    engine = Engine(a=10)
    engine.names["a"] = ["x:1", "x:2"]
    assert await usage(tmp_path, {"a": 1000}, age=1).trim(docker(engine)) == 0
    assert engine.sizes == {}


async def test_what_a_container_uses_is_counted_and_tried_again(tmp_path: Path) -> None:
    engine = Engine(a=10)
    engine.refuses = {"a"}
    images = usage(tmp_path, {"a": 1000}, age=1)
    assert await images.trim(docker(engine)) == 10
    engine.refuses = set()
    assert await images.trim(docker(engine)) == 0


async def test_what_somebody_else_removed_is_forgotten_and_what_can_not_be_asked_about_is_not(tmp_path: Path) -> None:
    engine = Engine(a=10)
    images = usage(tmp_path, {"a": 0, "gone": 0})
    engine.away = True
    await images.trim(docker(engine))
    assert set(json.loads((tmp_path / "images.json").read_text())) == {"a", "gone"}
    engine.away = False
    await images.trim(docker(engine))
    assert set(json.loads((tmp_path / "images.json").read_text())) == {"a"}


async def test_what_is_ours_is_known_after_a_restart(tmp_path: Path) -> None:
    ImageUsage(tmp_path / "images.json").own("a")
    engine = Engine(a=10, b=10)
    await ImageUsage(tmp_path / "images.json", most=1).trim(docker(engine))
    assert set(engine.sizes) == {"b"}


async def test_what_was_there_before_the_pull_is_known_after_a_restart_and_never_removed(tmp_path: Path) -> None:
    first = ImageUsage(tmp_path / "images.json")
    first.share("theirs")
    first.name("alpine:3", "theirs")
    again = ImageUsage(tmp_path / "images.json", most=1, age=1)
    assert (again.knows("theirs"), again.named("alpine:3"), again.knows("other")) == (True, "theirs", False)
    engine = Engine(theirs=10, other=10)
    await again.trim(docker(engine))
    assert set(engine.sizes) == {"theirs", "other"}


async def test_what_the_owner_removed_is_forgotten_with_its_names(tmp_path: Path) -> None:
    images = ImageUsage(tmp_path / "images.json")
    images.share("gone")
    images.name("alpine:3", "gone")
    await images.trim(docker(Engine()))
    for each in (images, ImageUsage(tmp_path / "images.json")):
        assert (each.knows("gone"), each.named("alpine:3")) == (False, "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '"x"',
        "[" * 100_000,
        *(f'{{"b": 1, "a": {value}}}' for value in ('"x"', "null", "[]", "{}", '["1"]', "1" + "0" * 400)),
    ],
)
async def test_a_file_that_can_not_be_read_is_begun_anew_and_that_is_told_once(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "images.json"
    file.write_text(text)
    images = ImageUsage(file)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "can't read the list of this worker's images" in caplog.text
    images.own("a")
    assert list(json.loads(file.read_text())) == ["a"]


async def test_a_file_that_does_not_exist_yet_is_nothing_to_tell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ImageUsage(tmp_path / "images.json")
    assert caplog.records == []


async def test_a_file_that_can_not_be_written_is_no_trouble(tmp_path: Path) -> None:
    ImageUsage(tmp_path / "away" / "images.json").own("a")
    assert not (tmp_path / "away").exists()
