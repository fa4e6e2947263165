"""The step of a build, from the output of both of Docker's builders."""

from __future__ import annotations

import pytest

from asman_server.logs.landmarks import BuildSteps


@pytest.mark.parametrize(
    ("lines", "step"),
    [
        ([], ""),
        (["hello"], ""),
        (["Step 1/3 : FROM alpine", " ---> 1", "Step 2/3 : RUN make", "make: *** Error 1"], "Step 2/3 : RUN make"),
        (
            ["#1 [internal] load build definition", "#5 [1/3] FROM alpine", "#6 [2/3] RUN make", "#6 0.3 oh"],
            "[2/3] RUN make",
        ),
        (
            [
                "#6 [a 2/3] RUN make",
                "#7 [b 2/4] RUN test",
                "#6 0.1 x",
                "#6 ERROR: process did not complete",
                "#7 CANCELED",
            ],
            "[a 2/3] RUN make",
        ),
        (["#9 ERROR: of a step that nobody saw begin"], ""),
    ],
)
def test_the_step_that_was_begun_last_or_went_wrong(lines: list[str], step: str) -> None:
    steps = BuildSteps()
    for line in lines:
        steps.take(line)
    assert steps.step == step


def test_a_build_without_end_is_remembered_to_a_bound() -> None:
    steps = BuildSteps()
    for number in range(5000):
        steps.take(f"#{number} [{number}/{5000}] RUN " + "x" * 10_000)
    assert len(steps._by_number) == 2000
    assert len(steps.step) <= 500
