"""What a Dockerfile says before it is built."""

from __future__ import annotations

from asman_worker.builds.dockerfile import Base, bases


def test_the_images_of_a_dockerfile_are_known_before_it_is_built() -> None:
    text = (
        "# syntax=docker/dockerfile:1\n# a comment\nARG BASE=alpine\nARG TAG=3\n"
        "FROM --platform=linux/arm64 ${BASE}:$TAG AS build\nRUN x \\\n  FROM not-one\n"
        "FROM build AS next\nfrom scratch\nCOPY --from=build / /\nCOPY --chown=a --from=hub.example/me/tool:v1 / /\n"
        "COPY --from=0 / /\nFROM ${NONE:-debian}\n"
    )
    assert bases(text, {"TAG": "4"}) == [
        Base("alpine:4", "linux/arm64"),
        Base("hub.example/me/tool:v1"),
        Base("debian"),
    ]
