"""Puts the compiled modules (`build_tools.compiled`) into a wheel; a wheel without them fits every machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledHook(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel, if they are fresh."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the compiled files to the wheel, and marks it as made for this platform."""
        spec = importlib.util.spec_from_file_location("compiled", Path(self.root, "build_tools", "compiled.py"))
        if spec is None or spec.loader is None:
            raise ImportError("build_tools/compiled.py is missing")
        compiled = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(compiled)
        if version == "editable" or compiled.state() != "fresh":
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for path in compiled.made():
            room = compiled.ROOT / ("shared" if "asman_shared" in path.parts else "server")
            build_data["force_include"][str(path)] = str(path.relative_to(room))
