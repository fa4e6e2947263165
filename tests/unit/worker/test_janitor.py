"""The janitor: what nobody used for long goes, and nothing outside of its folders."""

import os
import time
from pathlib import Path

from asman_worker.janitor import trim_folder


def test_a_job_cache_is_bounded_by_size_and_age_and_its_links_are_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "shared", tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "precious").write_bytes(b"x" * 100_000)
    for number in range(4):
        path = folder / "sub" / str(number)
        path.write_bytes(b"x" * 100_000)
        then = time.time() - 100 * (4 - number)
        os.utime(path, (then, then))
    (folder / "way").symlink_to(outside)
    (folder / "sub" / "link").symlink_to(outside / "precious")
    trim_folder(folder, 250_000, 0)
    assert sorted(path.name for path in (folder / "sub").iterdir() if path.name.isdigit()) == ["2", "3"]
    trim_folder(folder, 0, 150)
    assert [path.name for path in (folder / "sub").iterdir() if path.name.isdigit()] == ["3"]
    assert (outside / "precious").exists()
