"""The door of the OpenAPI document: schemathesis makes requests from it, and holds every answer against it.

Its mutations know nothing of this hub but the document, so an answer that is not described, and a description that does
not hold, are faults alike.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import given as with_data
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from devtools.patience import PATIENCE
from tests.fuzz.builds import expect
from tests.fuzz.door import Fault
from tests.fuzz.hub_doors import HubDoor
from tests.support.api import opened_api
from tests.support.plain_worker import plain_worker

CHECKS: Final[list[CheckFunction]] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
    checks.allow_header_conformance,
]
"""Checks of every answer."""
STRICT: Final[list[CheckFunction]] = [checks.positive_data_acceptance]
"""Checks of operations whose schemas say everything about what is valid."""
REFUSE_MORE: Final = (
    "/q/{queue}/jobs/{id}/log",
    "/f/{name}/exists",
    "/q/{queue}/ga4gh/tes/v1/tasks",
    "/q/{queue}/v1/tasks",
)
"""Paths that refuse some values which their schemas allow, as those can't say all; so do all with bodies or ranges."""
REFUSALS: Final = ["400", "403", "404", "405", "408", "409", "413", "422", "429", "431"]
"""Statuses that refuse an input."""
_Operation: TypeAlias = APIOperation[Any, Any, Any, Any]
_Case: TypeAlias = Case[Any]
COVERAGE: Final = "coverage"
"""The mode of an input that covers the schemas of an operation; others have random values."""
REQUESTS: Final = 12
"""Number of requests with random values in one input."""
_SETTINGS: Final[dict[str, Any]] = {
    "database": None,
    "deadline": None,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}
_QUEUE: Final = "fuzz"
_WAITS: Final = ("wait", "timeout")
_WITH_WEBHOOKS: Final = ("SubmitBody", "Control")


class OpenApi(HubDoor):
    """Requests that schemathesis makes from the OpenAPI document, valid ones and invalid ones.

    An input is ``{operation, mode, seed}``: many requests to one operation, which the seed decides. Half of the valid
    names in them are names of what there is: a finished job with an output, a file, a blob.

    Attributes:
        operations: The operations of the document, by method and path.
        asked: Those to which a request was made.
    """

    name = "openapi"
    seconds = 60.0

    @contextmanager
    def opened(self) -> Iterator[None]:
        with super().opened(), requests.Session() as self._session:
            self._session.trust_env = False  # this machine alone is asked, and no proxy
            asyncio.run(self._prepare())
            self.operations = {each.label: each for each in self._described()}
            self.asked: set[str] = set()
            yield

    async def _prepare(self) -> None:
        """Stores something of each kind, so that some requests are answered with it."""
        async with opened_api(self.hub.url) as api, plain_worker(self.hub.url, _QUEUE) as worker:
            job = await api.submit(_QUEUE, "finished", priority=9)
            about = await worker.assigned()
            while about["job"] != job:
                await worker.finish(about)
                about = await worker.assigned()
            await worker.log(about, 0, "line")
            key = str((await api.call("PUT", "/f/plain.txt", data=b"bytes")).json["sha256"])
            refs = {"a.txt": {"value": "made"}, "blob": {"type": "key", "value": key}}
            outputs = {name: {"ref": ref, "size": 4, "sha256": key} for name, ref in refs.items()}
            await worker.finish(about, lines=1, outputs=outputs)
            await worker.send({"type": "get_blobs", "ref": 1, "keys": [key]})
            got = (await worker.next("blob_links"))["links"][0]["url"]
            await worker.send({"type": "put_blobs", "ref": 2, "blobs": [["0" * 64, 5]]})
            put = (await worker.next("blob_tickets"))["tickets"][0]["url"]
        self._parts = {"queue": _QUEUE, "id": job, "name": "plain.txt", "namespace": "_"}
        self._signed = {"GET": urlsplit(got), "PUT": urlsplit(put)}

    def _described(self) -> list[_Operation]:
        """Reads the document.

        Without ``default``, or any status would be described. Without webhooks, or the hub would call addresses.
        """
        document = self._session.get(f"{self.hub.url}/openapi.json", timeout=PATIENCE).json()
        for kind in _WITH_WEBHOOKS:
            del document["components"]["schemas"][kind]["properties"]["callbacks"]
        for methods in document["paths"].values():
            for operation in methods.values():
                del operation["responses"]["default"]
        config = SchemathesisConfig(seed=0)
        schema = schemathesis.openapi.from_dict(document, config=config)
        schema.config.base_url = self.hub.url
        schema.config.checks.negative_data_rejection.expected_statuses = REFUSALS
        found = list(schema.get_all_operations())
        for each in found:
            expect(isinstance(each, Ok), f"the document can't be understood: {each}")
        return [each.ok() for each in found if isinstance(each, Ok)]

    def seeds(self) -> list[Any]:
        return [
            {"operation": label, "mode": mode, "seed": 0}
            for mode in (COVERAGE, *(mode.value for mode in GenerationMode))
            for label in self.operations
        ]

    def another(self, dice: random.Random, pool: Sequence[Any], seeds: Sequence[Any]) -> Any:
        mode = dice.choice(list(GenerationMode))
        return {"operation": dice.choice(list(self.operations)), "mode": mode.value, "seed": dice.getrandbits(32)}

    def give(self, given: Any) -> None:
        self.inputs = 0
        operation = self.operations[given["operation"]]
        if given["mode"] == COVERAGE:
            self._give_all(operation, random.Random(given["seed"]))
        else:
            self._give_some(operation, GenerationMode(given["mode"]), given["seed"])

    def _give_all(self, operation: _Operation, dice: random.Random) -> None:
        """Makes the requests that cover the operation's schemas: each bound, form and member, kept and broken."""
        cases = operation.schema.iter_coverage_cases(
            operation, generation_modes=list(GenerationMode), generation_config=operation.schema.config.generation
        )
        for case in cases:
            self._fill(case, lambda: dice.random() < 0.8)
            for wrong in self._wrong(case):
                raise Fault(wrong)

    def _give_some(self, operation: _Operation, mode: GenerationMode, number: int) -> None:
        """Makes some requests with random values."""
        cases = operation.as_strategy(generation_mode=mode)
        found: list[str] = []

        # A failure is kept and not raised: hypothesis would ask again, and the hub may answer otherwise then.
        @seed(number)
        @settings(max_examples=REQUESTS, **_SETTINGS)
        @with_data(st.data())
        def asked(data: st.DataObject) -> None:
            case = data.draw(cases)
            self._fill(case, lambda: bool(data.draw(st.booleans())))
            if not found:
                found.extend(self._wrong(case))

        with suppress(Unsatisfiable):  # nothing that the operation takes can be invalid
            asked()
        if found:
            raise Fault(found[0])

    def _fill(self, case: _Case, coin: Callable[[], bool]) -> None:
        """Puts names of what there is into the valid parts of a request, at random, and short times to wait."""
        parts, query = case.path_parameters, case.query
        if _valid(case, ParameterLocation.QUERY) and query:
            query.update({name: "10ms" for name in _WAITS if name in query})
        if not _valid(case, ParameterLocation.PATH) or not parts:
            return
        known = {**self._parts, "path": "a.txt" if coin() else "blob"}
        if case.operation.path.endswith("/settings"):
            known["queue"] = "settings"  # or the queue's jobs would be deleted early
        if case.method == "DELETE":
            known["id"] = self.job
        parts.update({name: known[name] for name in parts if name in known and coin()})
        if "sha256" in parts and (signed := self._signed.get(case.method)) and coin():
            parts["sha256"] = signed.path.rpartition("/")[2]
            if _valid(case, ParameterLocation.QUERY):
                case.query = dict(parse_qsl(signed.query))

    def _wrong(self, case: _Case) -> Iterator[str]:
        """Makes a request, and yields what is wrong with the answer."""
        operation = case.operation
        refuses_more = operation.body.items or operation.path in REFUSE_MORE or "Range" in operation.headers
        more = [] if refuses_more else STRICT
        self.inputs += 1
        self.asked.add(operation.label)
        try:
            case.call_and_validate(session=self._session, checks=CHECKS + more, allow_redirects=False, timeout=PATIENCE)
        except FailureGroup as failures:
            found = "; ".join(f"{each.title}: {each.message}" for each in failures.exceptions)
            yield " ".join(f"{operation.label}: {found}: {failures.message.partition('Reproduce with:')[2]}".split())


def _valid(case: _Case, place: ParameterLocation) -> bool:
    """Whether a part of a request was made as its schema says."""
    component = case.meta.components.get(place) if case.meta is not None else None
    return component is None or component.mode.is_positive
