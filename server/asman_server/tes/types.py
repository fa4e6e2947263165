"""The bodies of answers, besides tasks themselves."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class TesProblem(Struct):
    """An error: a sentence for people, the status, and a code for programs."""

    msg: str
    status_code: int
    code: str


class CreatedTask(Struct):
    """The id of a new task."""

    id: str


class Nothing(Struct):
    """An answer that says nothing."""


class TaskPage(Struct, omit_defaults=True):
    """A page of tasks, and the token of the next one; the last page has none."""

    tasks: list[dict[str, Any]]
    next_page_token: str = ""


class OlderInfo(Struct):
    """The service, as TES 1.0 has it: clients of that time refuse any other member."""

    name: str
    doc: str
    storage: list[str]


class Organization(Struct):
    """The party that offers the service."""

    name: str
    url: str


class ServiceType(Struct):
    """The protocol of the service."""

    group: str
    artifact: str
    version: str


class ServiceInfo(Struct, rename={"backend_parameters": "tesResources_backend_parameters"}):
    """The service, as TES 1.1 has it."""

    id: str
    name: str
    type: ServiceType
    description: str
    organization: Organization
    version: str
    storage: list[str]
    backend_parameters: list[str]
