"""Write the synchronous client, client/asman/sync/jobs.py and queues.py, from the sources of the async one.

usage: python -m scripts.sync_client [--check]

Each public method, property and attribute has its mirror, with the same arguments, types and text. An attribute has to
be annotated where ``__init__`` sets it.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import Final

CLIENT: Final = Path(__file__).resolve().parent.parent / "client" / "asman"
FOLDER: Final = CLIENT / "sync"
MODULES: Final = {
    "jobs": (("outputs", "Output"), ("outputs", "JobResult"), ("job", "Job")),
    "queues": (("client", "Queue"),),
}
"""Module and name of each class, by the module that gets its mirror."""
OBJECTS: Final = frozenset(name for each in MODULES.values() for _, name in each)
BASES: Final = {"Queue": "MirroredQueue"}
PARTS: Final = {"Queue": ("owning.owned_queue", "OwnedQueue")}
"""Module and name of the base that has some of a class's methods."""
LEFT_OUT: Final = {"Queue": frozenset({"open", "close"})}
"""Methods that are not mirrored: a synchronous queue is opened by `connect` and closed by its base."""

_HEAD: Final = '''"""Mirrors of the async client's objects, with their arguments, types and text.

Made from them by `python -m scripts.sync_client`; a test checks that it is current.
"""

from __future__ import annotations

'''
_OUTPUTS: Final = '''

Outputs = MirroredMapping[Output]
"""A job's outputs by name."""
'''
_SIGNS: Final = (("async for ", "for "), ("async with ", "with "), ("await ", ""))
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class UnannotatedError(Exception):
    """A public attribute has no annotation where it is set, so its mirror would have no type."""


def document(name: str) -> str:
    """Returns one of the modules, such as ``jobs``."""
    imports = {"Iterator": "from collections.abc import Iterator\n"}
    classes = [_class(module, each, imports) + (_OUTPUTS if each == "Output" else "") for module, each in MODULES[name]]
    known = [f"from .{other} import {each}\n" for other in MODULES if other != name for _, each in MODULES[other]]
    lines = [
        "from asman import client, job, outputs\n",
        "from asman.bulk import from_thread\n",
        "from .mirror import Mirror, MirroredMapping, MirroredQueue\n",
        *(known if name != "jobs" else ()),
        *sorted(set(imports.values())),
    ]
    return _formatted(_HEAD + "".join(lines + classes), FOLDER / f"{name}.py")


def _formatted(text: str, file: Path) -> str:
    """Sorts the imports, leaves out the unused ones, and formats the module as the rest of the source is."""
    ruff = [sys.executable, "-m", "ruff"]
    name = ["--stdin-filename", str(file)]
    for command in (["check", "--fix", "--quiet", "--select", "I,F401"], ["format", "--quiet"]):
        words = [*ruff, *command, *name, "-"]
        done = subprocess.run(words, input=text, capture_output=True, text=True, check=True)  # noqa: S603 - our own words
        text = done.stdout
    return text


def _class(module: str, name: str, imports: dict[str, str]) -> str:
    known, found = _source(module, name)
    about = (ast.get_docstring(found) or "").partition("\n")[0].replace("``async with``", "``with``")
    parts = [f'\n\nclass {name}({BASES.get(name, f"Mirror[{module}.{name}]")}):\n    """{about}"""\n']
    members = [each for each in _members(found) if each.name not in LEFT_OUT.get(name, ())]
    if name in PARTS:
        more, base = _source(*PARTS[name])
        known = {**more, **known}
        members += _members(base)
    for each in members:
        for used in _used(each):
            if used in known and used not in OBJECTS and used != "Outputs":
                imports[used] = known[used]
        parts.append(_member(each, module, name))
    return "".join(parts)


def _source(module: str, name: str) -> tuple[dict[str, str], ast.ClassDef]:
    """The imports for the names that a module uses, and one of its classes."""
    tree = ast.parse((CLIENT / f"{module.replace('.', '/')}.py").read_text())
    found = next(each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name)
    return _names(tree, module), found


def _names(tree: ast.Module, module: str) -> dict[str, str]:
    """The import that gives each name which a module imports or defines."""
    found: dict[str, str] = {}
    for each in ast.walk(tree):
        if isinstance(each, ast.Import):
            found |= {alias.asname or alias.name: f"import {_as(alias)}\n" for alias in each.names}
        elif isinstance(each, ast.ImportFrom):
            home = f"asman.{each.module}" if each.level else str(each.module)
            found |= {alias.asname or alias.name: f"from {home} import {_as(alias)}\n" for alias in each.names}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = f"from asman.{module} import {node.name}\n"
    if "Items" in found:
        found["Item"] = found["Items"].replace("Items", "Item")
    return found


def _as(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name


class _Attribute:
    """A public attribute that ``__init__`` sets, with its text from the class."""

    def __init__(self, name: str, annotation: ast.expr, text: str) -> None:
        self.name = name
        self.annotation = annotation
        self.text = text


def _members(found: ast.ClassDef) -> Iterator[_Function | _Attribute]:
    texts = _attribute_texts(ast.get_docstring(found) or "")
    for each in found.body:
        if not isinstance(each, _Function):
            continue
        if each.name == "__init__":
            yield from _attributes(found.name, each, texts)
        elif not each.name.startswith("_"):
            yield each


def _attributes(owner: str, made: _Function, texts: dict[str, str]) -> Iterator[_Attribute]:
    for line in ast.walk(made):
        targets = (
            line.targets if isinstance(line, ast.Assign) else [line.target] if isinstance(line, ast.AnnAssign) else []
        )
        for target in targets:
            if not isinstance(target, ast.Attribute) or target.attr.startswith("_"):
                continue
            annotation = line.annotation if isinstance(line, ast.AnnAssign) else None
            if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Final":
                annotation = annotation.slice
            if annotation is None or ast.unparse(annotation) == "Final":
                raise UnannotatedError(f"{owner}.{target.attr} has no type where __init__ sets it")
            yield _Attribute(target.attr, annotation, texts[target.attr])


def _attribute_texts(text: str) -> dict[str, str]:
    """The text of each attribute in a class's docstring."""
    _, _, part = text.partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in part.split("\n\n")[0].splitlines():
        begun = re.match(r"    (\w+): (.*)", line)
        if begun is not None:
            name = begun[1]
            found[name] = begun[2]
        elif name:
            found[name] += f" {line.strip()}"
    return found


def _used(member: _Function | _Attribute) -> set[str]:
    """The names in a member's types and defaults."""
    if isinstance(member, _Attribute):
        trees: list[ast.AST] = [member.annotation]
    else:
        every = member.args
        arguments = [*every.posonlyargs, *every.args, *every.kwonlyargs, *([every.kwarg] if every.kwarg else [])]
        trees = [each.annotation for each in arguments if each.annotation is not None]
        trees += [each for each in (*every.defaults, *every.kw_defaults) if each is not None]
        trees += [member.returns] if member.returns is not None else []
    names = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {"Iterable", "Item"} if "Items" in names else set()
    return names | ({"Iterator"} if "AsyncIterator" in names else set())


def _member(member: _Function | _Attribute, module: str, owner: str) -> str:
    if isinstance(member, _Attribute):
        kind = ast.unparse(member.annotation)
        text = _indented(_summarised(member.text))
        call = _mirrored(kind, f"self._inner.{member.name}")
        return f"\n    @property\n    def {member.name}(self) -> {kind}:\n{text}        return {call}\n"
    text = _indented(ast.get_docstring(member) or "")
    kind = ast.unparse(member.returns) if member.returns is not None else "None"
    if any(ast.unparse(each) == "property" for each in member.decorator_list):
        call = _mirrored(kind, f"self._inner.{member.name}")
        return f"\n    @property\n    def {member.name}(self) -> {kind}:\n{text}        return {call}\n"
    call = f"self._inner.{member.name}({', '.join(_passed(member.args))})"
    items = re.fullmatch(r"AsyncIterator\[(.*)\]", kind)
    if items is not None:
        kind = f"Iterator[{items[1]}]"
        each = _mirrored(items[1], "each")
        call = f"self._loop.each({call})"
        call = call if each == "each" else f"({each} for each in {call})"
    elif isinstance(member, ast.AsyncFunctionDef):
        call = _mirrored(kind, f"self._loop.run({call})")
    else:
        call = _mirrored(kind, call)
    body = call if kind == "None" else f"return {call}"
    return f"\n    def {member.name}({_parameters(member.args)}) -> {kind}:\n{text}        {body}\n"


def _mirrored(kind: str, value: str) -> str:
    """The mirror of a value of this type, or the value itself."""
    if kind == "Outputs":
        return f"Outputs({value}, lambda each: Output(each, self._loop))"
    return f"{kind}({value}, self._loop)" if kind in OBJECTS else value


def _parameters(given: ast.arguments) -> str:
    return ast.unparse(given).replace(": Items", ": Iterable[Item]")


def _passed(given: ast.arguments) -> Iterator[str]:
    for each in (*given.posonlyargs, *given.args[1:]):
        yield _value(each)
    for each in given.kwonlyargs:
        yield f"{each.arg}={_value(each)}"
    if given.kwarg is not None:
        yield f"**{given.kwarg.arg}"


def _value(argument: ast.arg) -> str:
    """An argument to pass on; many items may come from a generator that blocks, which a thread has to read."""
    many = argument.annotation is not None and ast.unparse(argument.annotation) == "Items"
    return f"from_thread({argument.arg})" if many else argument.arg


def _summarised(text: str) -> str:
    """Makes a text that is too long for one line a summary with a description below it."""
    if len(text) <= 100:
        return text
    head, _, rest = text.partition(": ")
    return f"{head}.\n\n" + "\n".join(wrap(rest[0].upper() + rest[1:], 110))


def _indented(text: str) -> str:
    for sign, without in _SIGNS:
        text = text.replace(sign, without)
    mark = 'r"""' if "\\" in text else '"""'
    first, *rest = f"{mark}{text}".splitlines()
    lines = [first, *rest]
    end = ['"""'] if rest else []
    if not rest:
        lines[-1] += '"""'
    return "".join(f"        {line}\n" if line else "\n" for line in [*lines, *end])


def main() -> int:
    """Writes the modules, or with ``--check`` only reports by exit code whether they are current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only report, by exit code, whether they are current")
    check = parser.parse_args().check
    documents = {FOLDER / f"{name}.py": document(name) for name in MODULES}
    if check:
        return 0 if all(file.read_text() == text for file, text in documents.items()) else 1
    for file, text in documents.items():
        file.write_text(text)
        sys.stdout.write(f"wrote {file.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
