"""The page about the protocol is what the message classes say."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from asman_shared import messages
from scripts.protocol_docs import FILE, MARK, document, tag_of

UNIONS = [messages.ClientMessage, messages.HubToClient, messages.WorkerMessage, messages.HubToWorker]


def test_the_page_about_the_protocol_is_current() -> None:
    assert FILE.read_text() == document(), "run: python -m scripts.protocol_docs"


@pytest.mark.parametrize("tag", sorted({tag_of(kind) for union in UNIONS for kind in get_args(union)}))
def test_every_message_has_one_section(tag: str) -> None:
    assert FILE.read_text().splitlines().count(f"### {tag}") == 1


def test_every_link_within_the_page_leads_somewhere() -> None:
    text = FILE.read_text()
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    linked = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert len(linked) > 60
    assert linked - headings == set()


def test_the_introduction_names_the_subprotocols_and_first_messages() -> None:
    by_hand = FILE.read_text().partition(MARK)[0]
    for word in ("asman.v1.msgpack", "asman.v1.json", "`hello`", "`register`", "epoch", "seq", "ref", "gap"):
        assert word in by_hand
