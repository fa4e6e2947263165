"""The door of a job's URL."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import msgspec

from asman_server.dialect.ids import identify
from asman_shared.definition_check import check
from asman_shared.errors import AsmanError
from asman_shared.identity import job_id
from asman_shared.job_url import encode_value, read_job_url, write_job_url
from tests.fuzz.builds import expect
from tests.fuzz.door import Door


class JobUrls(Door):
    """URLs with a job: one that is read and written is the same job, by every way to its id.

    An input is ``{job, texts, others: {name: value}, generation}``, with ``raw`` for the job's text; or a whole URL.
    """

    name = "job_urls"
    form = "json"
    words = (
        "${x}", "${", "${", "${", "${", "}", "$", "[", '{"image":', "%", "%2", "+", "&", "=", "?", "#", "job",
        "image", "command", "env", "build", "utf8",
        "base64", "json", "url", "key", "inputs", "configFiles", "maxDuration", "requirements", "channel",
        "context", "raw",
    )  # fmt: skip

    def check(self, given: Any) -> None:
        try:
            made = read_job_url(self._url(given))
        except AsmanError as error:
            expect(bool(error.message), "a refusal says nothing")
            expect(error.code != "bad_definition" or bool(error.field), f"a refusal names no field: {error.message}")
            return
        definition = made.definition
        again = read_job_url(write_job_url(made.hub, definition, queue=made.queue, max_duration=made.max_duration))
        expect((again.hub, again.queue) == (made.hub, made.queue), "hub or queue became another")
        try:
            check(definition)
            job = job_id(definition)
        except AsmanError:
            return
        expect(job_id(again.definition) == job, "the job became another in its URL")
        sent = json.loads(msgspec.json.encode(definition))
        try:
            known = identify(sent).job
        except AsmanError as error:
            expect("nested" in error.message, f"the dialect refuses it: {error.message}")
            return
        expect(known == job, "the job became another in the dialect")

    def _url(self, given: Any) -> str:
        if not isinstance(given, dict):
            return given if isinstance(given, str) else "https://hub.example/#?job=" + str(given)
        generation = given.get("generation")
        raw = given.get("raw")
        text = raw if isinstance(raw, str) else json.dumps(given.get("job"))
        plain = base64.b64encode(text.encode("utf-8", "replace")).decode()
        encoded = plain if generation == 0 or isinstance(raw, str) else encode_value(given.get("job"))
        if generation == 1:
            encoded = quote(encoded)
        others = given.get("others")
        pairs = [f"{name}={value}" for name, value in others.items()] if isinstance(others, dict) else []
        if given.get("texts") is not None:
            pairs.append(f"inputs={encode_value(given['texts'])}")
        return "https://hub.example/#?" + "&".join([f"job={encoded}", *pairs])
