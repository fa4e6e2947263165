"""Folders beside the packages import only what they may, and the packages keep their shape.

Import-linter holds the arrows inside the four packages. It does not see the folders that are not installed.
"""

from __future__ import annotations

import ast
import graphlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from scripts.source_rules import MOST_MODULES, PACKAGES, ROOT

#: The folders that must not be imported, by the folder that must not import them.
FORBIDDEN = {
    **dict.fromkeys(PACKAGES, ("tests", "bench", "scripts", "devtools", "build_tools")),
    "build_tools": ("tests", "bench", "scripts", "devtools", "asman", "asman_server", "asman_worker", "asman_shared"),
    "devtools": ("tests", "bench", "scripts"),
    "scripts": ("tests", "bench"),
    "bench": ("tests", "scripts"),
    "tests/support": ("scripts", "bench"),
}
#: The tests that may import a script: those of the script itself, and this one for the list of packages.
TESTS_OF_SCRIPTS = {
    "tests/integration/test_make_run.py": "scripts.run",
    "tests/unit/setup/test_second_try.py": "scripts.tests",
    "tests/unit/client/cli/test_docs.py": "scripts.cli_docs",
    "tests/unit/client/test_sync_mirrors.py": "scripts.sync_client",
    "tests/unit/setup/test_dev.py": "scripts.dev",
    "tests/unit/setup/test_imports.py": "scripts.source_rules",
    "tests/unit/setup/test_registry_hosts.py": "scripts.registry_hosts",
    "tests/unit/setup/test_source_rules.py": "scripts.source_rules",
    "tests/unit/server/access/test_table.py": "scripts.rights_docs",
    "tests/unit/shared/test_errors.py": "scripts.range_docs",
    "tests/unit/shared/test_protocol_docs.py": "scripts.protocol_docs",
}


def imported(source: str) -> set[str]:
    """The names of all modules that a source imports absolutely, wherever the statement stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.update(f"{node.module}.{name.name}" for name in node.names)
    return found


def within(name: str, folder: str) -> bool:
    """Whether a module is a package or lies in it."""
    return f"{name}.".startswith(f"{folder}.")


def arrows(root: Path, folder: str, forbidden: tuple[str, ...]) -> list[str]:
    """The imports of a folder that it must not have, as lines for people."""
    return [
        f"{path.relative_to(root)} imports {name}"
        for path in sorted((root / folder).rglob("*.py"))
        for name in sorted(imported(path.read_text()))
        if any(within(name, other) for other in forbidden)
    ]


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_a_folder_imports_none_of_those_above_it(folder: str) -> None:
    assert list((ROOT / folder).rglob("*.py"))
    assert arrows(ROOT, folder, FORBIDDEN[folder]) == []


def test_an_import_that_must_not_be_is_found_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/page.py").write_text("import testsuite\ndef f():\n    from tests.support import gate\n")
    assert arrows(tmp_path, "bench", ("tests",)) == ["bench/page.py imports tests.support.gate"]


def test_a_test_imports_a_script_only_to_test_it() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): name
        for path in (ROOT / "tests").rglob("*.py")
        for name in imported(path.read_text())
        if within(name, "scripts") and not within(name, TESTS_OF_SCRIPTS.get(path.relative_to(ROOT).as_posix(), "-"))
    }
    assert found == {}


# ---------------------------------------------------------------------------------------------- the packages' shape


def rooms_of(package: str) -> dict[str, set[str]]:
    """The rooms and root modules of a package, with those that each imports."""
    graph = grimp.build_graph(package, cache_dir=None)
    rooms = graph.find_children(package)
    for room in rooms:
        if graph.find_children(room):
            graph.squash_module(room)
    return {room: graph.find_modules_directly_imported_by(room) - {room, package} for room in rooms}


def folders_of(package: str) -> Iterator[tuple[str, int]]:
    """The folders of a package, with the number of modules in each; `__init__` counts, folders inside don't."""
    graph = grimp.build_graph(package, cache_dir=None)
    for module in sorted(graph.modules):
        inside = graph.find_children(module)
        if inside:
            yield module, 1 + sum(not graph.find_children(child) for child in inside)


@pytest.mark.parametrize("package", [Path(package).name for package in PACKAGES])
def test_no_folder_has_too_many_modules(package: str) -> None:
    sizes = dict(folders_of(package))
    assert package in sizes
    assert {folder: size for folder, size in sizes.items() if size > MOST_MODULES} == {}


@pytest.mark.parametrize("package", ["asman_server", "asman_worker", "asman"])
def test_the_rooms_of_a_package_form_no_circle(package: str) -> None:
    rooms = rooms_of(package)
    assert len(rooms) > 5
    assert any(rooms.values())
    try:
        graphlib.TopologicalSorter(rooms).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"these rooms import each other: {' -> '.join(error.args[1])}", pytrace=False)


def test_each_room_of_the_hub_says_what_it_may_import() -> None:
    """In its docstring, in the words that follow from the contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [each["layers"] for each in contracts if each.get("containers") == ["asman_server"]]
    rooms = [[name.strip() for name in layer.split("|")] for layer in layers]
    *above, helpers = rooms
    said = 0
    for layer, below in zip(above, rooms[1:], strict=True):
        listed = ", ".join(f"`{name}`" for name in below)
        names = "the hub's root helpers" if below is helpers else f"{listed} and all below"
        for room in layer:
            file = ROOT / "server/asman_server" / room / "__init__.py"
            if file.exists():
                said += 1
                text = ast.get_docstring(ast.parse(file.read_text())) or ""
                assert f"May import: {names}" in " ".join(text.split()), room
    assert said > 10
