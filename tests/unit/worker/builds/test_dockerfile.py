"""What a Dockerfile says before it is built, and the one that is written for the engine."""

from __future__ import annotations

import pytest

from asman_shared.errors import ExecutionError
from asman_worker.builds.dockerfile import Added, Base, check_triggers, read

ID = "sha256:" + "1" * 64


def written(text: str, **args: str) -> str:
    made = read(text, args)
    return made.write({base: f"sha256:{number + 1:064x}" for number, base in enumerate(made.bases)})


def test_the_images_of_a_dockerfile_are_known_before_it_is_built() -> None:
    text = (
        "# syntax=docker/dockerfile:1\n# a comment\nARG BASE=alpine\nARG TAG=3\n"
        "FROM --platform=linux/arm64 ${BASE}:$TAG AS build\nRUN x \\\n  FROM not-one\n"
        "FROM build AS next\nFROM scratch\nCOPY --from=build / /\nCOPY --chown=a --from=hub.example/me/tool:v1 / /\n"
        "COPY --from=0 / /\nFROM ${NONE:-debian}\n"
    )
    assert read(text, {"TAG": "4"}).bases == [
        Base("alpine:4", "linux/arm64"),
        Base("hub.example/me/tool:v1"),
        Base("debian"),
    ]


IMAGE = "hub.example/private/tool:1"
WAYS = [
    f"FROM {IMAGE}",
    f"from {IMAGE}",
    f"\ufeffFROM {IMAGE}",
    f"FROM {IMAGE}\r\nRUN x\r\n",
    f"FROM\t{IMAGE}",
    f"  \t FROM   {IMAGE}  ",
    f"FROM\v{IMAGE}",
    f"FROM \\\n{IMAGE}",
    f"FROM \\\n\\\n\n\n  {IMAGE}",
    f"FROM \\\n# a comment\n   # another\n{IMAGE}",
    f"FRO\\\nM {IMAGE}",
    "FROM hub.example/private\\\n/tool:1",
    f"FROM \\  \t\r\n{IMAGE}",
    f"# escape=`\nFROM `\n{IMAGE}",
    f"#EsCaPe = ` \r\nFROM `\r\n{IMAGE}",
    f"# syntax=x\n# escape=`\nFROM `\n{IMAGE}",
    f"# a comment\n# escape=`\nFROM {IMAGE}\nRUN a `\n",
    f"FROM {IMAGE} as X",
    f"FROM {IMAGE} aS\tX",
    f'FROM "{IMAGE}"',
    "FROM 'hub.example/private'/tool\\:1",
    f"ARG A={IMAGE}\nFROM $A",
    f"ARG A='{IMAGE}'\nFROM ${{A}}",
    f'ARG X B="{IMAGE}" C=3\nFROM "${{B}}"',
    "ARG A=hub.example\nARG B=${A}/private/tool\nFROM ${B:+$B}:${C-1}",
    f"FROM ${{A:-{IMAGE}}}",
    f"FROM ${{A:-${{B:-{IMAGE}}}}}",
    f"FROM scratch AS build\nFROM build\nCOPY --from={IMAGE} / /",
    f"FROM scratch\nCOPY --chown=1 \\\n --from={IMAGE} \\\n / /",
    f"FROM scratch\ncopy\t--from={IMAGE}\t/a\t/b",
    f'FROM scratch\nCOPY --from={IMAGE} ["/a", "/b"]',
    f"FROM scratch AS later\nCOPY --from={IMAGE} / /\nFROM scratch AS tool\n",
    "FROM hub.example/private/tool:1 AS hub.example\nFROM scratch",
    f"FROM scratch AS a\nFROM {IMAGE} AS b\nFROM scratch\nCOPY --from=b / /",
    f"FROM scratch\nONBUILD RUN x\nFROM {IMAGE}",
]


@pytest.mark.parametrize("text", WAYS)
def test_an_image_is_found_however_it_is_written_and_the_engine_gets_its_id_alone(text: str) -> None:
    made = read(text, {})
    assert [base.image for base in made.bases] == [IMAGE]
    for_engine = made.write({made.bases[0]: ID})
    assert IMAGE not in "\n".join(line for line in for_engine.splitlines() if not line.startswith("ARG "))
    assert for_engine.count(ID) == 1
    assert "\r" not in for_engine
    assert all(line.split(" ", 1)[0].isupper() or line.startswith("# escape=") for line in for_engine.splitlines())


def test_several_images_are_all_found() -> None:
    text = "FROM a AS x\nFROM b\nCOPY --from=c / /\nCOPY --from=X / /\nCOPY --from=d --chown=1 / /\nFROM a\nFROM x\n"
    assert [base.image for base in read(text, {}).bases] == ["a", "b", "c", "d"]


def test_a_stage_counts_from_its_end_on_and_only_by_its_own_name() -> None:
    # The engine looks for an image of this name, as the stage that has it has only just begun.
    assert [base.image for base in read("FROM x AS x", {}).bases] == ["x"]
    assert [base.image for base in read("FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b", {}).bases] == ["b"]
    assert [base.image for base in read("FROM SCRATCH", {}).bases] == ["SCRATCH"]
    assert [base.image for base in read("FROM 0", {}).bases] == ["0"]
    assert [base.image for base in read("FROM scratch AS a\nCOPY --from=A / /", {}).bases] == ["A"]
    # A number that is too long for the engine is no stage's.
    assert [base.image for base in read(f"FROM scratch\nCOPY --from={2**64} / /", {}).bases] == [f"{2**64}"]


REFUSED = [
    ("", "has no FROM"),
    ("RUN x\nFROM a", "has no FROM"),
    ("FROM $X", "not known before the build"),
    ("FROM ${X}", "not known before the build"),
    ("FROM ${X%y}", "not understood"),
    ("FROM ${X/y/z}", "not understood"),
    ("FROM 'a", "not understood"),
    ("FROM", "FROM takes"),
    ("FROM a b", "FROM takes"),
    ("FROM a AS b c", "FROM takes"),
    ("FROM a AS $b", "the name of a stage"),
    ("FROM --from=x a", "--platform"),
    ("FROM --platform=a --platform=b a", "--platform"),
    ("FROM a\nCOPY --from=$b / /", "without variables"),
    ("FROM a\nCOPY --from=b --from=c / /", "without variables"),
    ("FROM a\nCOPY --FROM=b / /", "without variables"),
    ("FROM a\nCOPY --from b / /", "without variables"),
    ("FROM a\nADD --from=b / /", "ADD takes no --from"),
    ('FROM a\nCOPY --from="b" / /', "quotation marks"),
    ("FROM a\nCOPY --fr\\om=b / /", "quotation marks"),
    ("FROM a\nCOPY --chown=0\u00a0--from=b / /", "not ASCII"),
    ("FROM a\nCOPY --chown=0\u00e0--from=b / /", "not ASCII"),
    ("FROM a\nCOPY --chown=0\udca0--from=b / /", "not ASCII"),
    ("FROM a\nCOPY \udca0--from=b / /", "white space"),
    ("FROM a\nCOPY --chown=0 \udc85--from=b / /", "white space"),
    ("FROM a\nCOPY \u2003--from=b / /", "white space"),
    ("FROM a\nONBUILD COPY \udca0--from=b / /", "white space"),
    ("FROM a\nRUN --mount=type=bind,from=b x", "BuildKit"),
    ("FROM a\nRUN --network=host x", "BuildKit"),
    ("FROM a\nRUN --security=insecure x", "BuildKit"),
    ("FROM a\nRUN <<EOF\nFROM b\nEOF", "BuildKit"),
    ("FROM a\nRUN cat 3<<-'EOF' x\nEOF", "BuildKit"),
    ("FROM a\nCOPY <<x /y\nx", "BuildKit"),
    ("FROM a\nFRMO b", "is not an instruction"),
    ("FROM a\nIMPORT b", "is not an instruction"),
    ("FROM a\nRUN x \\\\\nFROM b", "ends with"),
    ("# escape=x\nFROM a", "escape character"),
    ("FROM a\nONBUILD COPY --from=b / /", "can't copy from an image"),
    ("FROM a\nonbuild\tcopy \\\n --from=b / /", "can't copy from an image"),
    ("FROM a\nONBUILD ADD http://example.org/x /", "can't fetch"),
    ("FROM a\nONBUILD FROM b", "can't be a trigger"),
    ("FROM a\nONBUILD ONBUILD RUN x", "can't be a trigger"),
    ("FROM a\nONBUILD RUN --mount=type=bind,from=b x", "BuildKit"),
]


@pytest.mark.parametrize(("text", "says"), REFUSED)
def test_what_is_not_understood_for_certain_is_refused(text: str, says: str) -> None:
    with pytest.raises(ExecutionError) as caught:
        read(text, {})
    assert says in caught.value.message
    assert "\n" not in caught.value.message


def test_the_engine_gets_one_line_for_each_instruction() -> None:
    text = (
        "\ufeff# a comment\r\n# more\r\nfrom a as b\r\n\r\nrun one && \\\r\n   # why\r\n\r\n   two\r\n"
        'cmd ["x", \\\r\n "y"]\r\nLABEL a=b \\\r\n'
    )
    assert written(text) == f'FROM sha256:{1:064x} AS b\nRUN one &&    two\nCMD ["x",  "y"]\nLABEL a=b\n'


def test_a_long_instruction_is_written_in_pieces_that_mean_the_same() -> None:
    long = "RUN " + "echo # \\x   '#' " * 10_000 + "end"
    lines = written(f"FROM a\n{long}\n").split("\n")[1:-1]
    assert max(map(len, lines)) < 60_000
    assert all(line.endswith("\\") and not line.endswith("\\\\") for line in lines[:-1])
    assert "".join(line.removesuffix("\\") for line in lines[:-1]) + lines[-1] == long
    assert not any(line.lstrip().startswith("#") or not line.strip() for line in lines)


# ---------------------------------------------------------------------------------------------------- ADD <address>


@pytest.mark.parametrize(
    ("add", "url", "line"),
    [
        ("ADD https://h.example/a/x.tgz /", "https://h.example/a/x.tgz", "COPY .asman-added/0/x.tgz /"),
        ("add\thttps://h.example/x?y=1\t/z", "https://h.example/x?y=1", "COPY .asman-added/0/x /z"),
        ("ADD HTTPS://h.example/x /", "HTTPS://h.example/x", "COPY .asman-added/0/x /"),
        ('ADD "https://h.example/x" /', "https://h.example/x", "COPY .asman-added/0/x /"),
        ("ADD 'http'\\s://h.example/x /", "https://h.example/x", "COPY .asman-added/0/x /"),
        ('ADD ["https://h.example/x", "/a b"]', "https://h.example/x", 'COPY [".asman-added/0/x", "/a b"]'),
        ("ADD --chown=1:1 https://h.example/x /", "https://h.example/x", "COPY --chown=1:1 .asman-added/0/x /"),
        ("ARG U=https://h.example/x\nADD $U /", "https://h.example/x", "COPY .asman-added/0/x /"),
        ("ENV U https://h.example\nADD ${U}/x /", "https://h.example/x", "COPY .asman-added/0/x /"),
        ("ARG V=x\nENV U=https://h.example/$V\nADD ${U:-y} /", "https://h.example/x", "COPY .asman-added/0/x /"),
        ("ADD \\\n # why\n https://h.example/x \\\n /", "https://h.example/x", "COPY .asman-added/0/x /"),
        ("ADD https://h.example/ /file", "https://h.example/", "COPY .asman-added/0/file /file"),
    ],
)
def test_an_address_is_fetched_by_the_worker_and_never_by_the_engine(add: str, url: str, line: str) -> None:
    made = read(f"FROM scratch\n{add}\n", {})
    assert [each.url for each in made.added] == [url]
    assert made.write({}).splitlines()[-1] == line


@pytest.mark.parametrize(
    ("add", "line"),
    [
        ("ADD x.tar /", "ADD ./x.tar /"),
        ("ADD . /", "ADD . /"),
        ("ADD /x a/* /", "ADD /x ./a/* /"),
        ("ADD $UNKNOWN /", "ADD ./$UNKNOWN /"),
        ("ADD ${UNKNOWN:-https://h.example/x} /", "ADD ./${UNKNOWN:-https://h.example/x} /"),
        ("ADD ${A/b/c} /", "ADD ./${A/b/c} /"),
        ("ENV A=$UNKNOWN\nADD ${A} /", "ADD ./${A} /"),
        ('ADD ["$UNKNOWN", "/"]', 'ADD ["./$UNKNOWN", "/"]'),
        ("ONBUILD ADD $UNKNOWN x /", "ONBUILD ADD ./$UNKNOWN ./x /"),
        ("ADD git@h.example:x.git /", "ADD ./git@h.example:x.git /"),
        ("ADD git://h.example/x.git /", "ADD ./git://h.example/x.git /"),
        ("ADD ssh://h.example/x /", "ADD ./ssh://h.example/x /"),
    ],
)
def test_what_may_be_an_address_only_for_the_engine_is_a_path_for_it(add: str, line: str) -> None:
    made = read(f"FROM scratch\n{add}\n", {})
    assert made.added == []
    assert made.write({}).splitlines()[-1] == line


def test_files_and_addresses_of_one_add_are_parted() -> None:
    made = read("FROM scratch\nADD a.tar https://h.example/x https://h.example/y /z/\n", {})
    assert made.added == [
        Added("https://h.example/x", ".asman-added/0/x"),
        Added("https://h.example/y", ".asman-added/1/y"),
    ]
    assert made.write({}).splitlines()[1:] == ["ADD ./a.tar /z/", "COPY .asman-added/0/x .asman-added/1/y /z/"]


@pytest.mark.parametrize("url", ["https://h.example/", "https://h.example/a%2fb%00", "https://h.example/..",
                                 "https://h.example/a*b", "https://h.example/$%24x"])  # fmt: skip
def test_an_address_without_a_usable_name_is_refused(url: str) -> None:
    with pytest.raises(ExecutionError, match=r"no usable file name|not understood"):
        read(f"FROM scratch\nADD '{url}' /\n", {})


# ----------------------------------------------------------------------------------------------- triggers of an image


@pytest.mark.parametrize("trigger", ["RUN make", "COPY . /app", "ADD a.tar /", "ADD ./$X /", "COPY --from=build / /",
                                     "COPY --from=0 / /", "ADD x$Y /", "WORKDIR /x", "ENV A=b"])  # fmt: skip
def test_triggers_that_fetch_nothing_may_run(trigger: str) -> None:
    check_triggers(Base("a", stages=frozenset({"build"})), [trigger])


@pytest.mark.parametrize(
    "trigger",
    [
        "ADD http://169.254.169.254/x /", "add\thttps://h.example/x /", "ADD $X /", "ADD h$X /", "ADD 'http'://x/y /",
        'ADD "ht"tp://x/y /', "ADD ht\\tp://x/y /", 'ADD ["http://x/y", "/"]', "ADD ${X:-y} /", "ADD a $X /",
        "COPY --from=private/image / /", "COPY --from=$X / /", "RUN --mount=type=bind,from=x y", "FROM x",
        "ONBUILD RUN x", f"COPY --from={2**64} / /", "COPY --chown=0\udca0--from=b / /",
        "COPY \u00a0\udca0--from=b / /",
        "RUN x\nADD http://x/y /", "NONSENSE x", "ADD http://x/\\\ny /",
    ],
)  # fmt: skip
def test_triggers_that_may_fetch_something_are_refused(trigger: str) -> None:
    with pytest.raises(ExecutionError, match="the image 'a' can't be a base here, because of its trigger"):
        check_triggers(Base("a", stages=frozenset({"build"})), ["RUN fine", trigger])


def test_the_time_for_a_dockerfile_is_in_proportion_to_its_length() -> None:
    long = read("FROM alpine\nRUN true \\\n" + "\\\n" * 300_000 + "  done\n", {})
    assert "".join(long.write(dict.fromkeys(long.bases, ID)).split()).endswith("RUNtruedone")
    assert read("# syntax=a" + " " * 500_000 + "b\nFROM alpine\n", {}).bases == [Base("alpine")]


def test_variables_that_are_nested_too_deeply_are_refused() -> None:
    with pytest.raises(ExecutionError, match="is not understood"):
        read("FROM " + "${a:-" * 5_000 + "x" + "}" * 5_000 + "\n", {})


def test_a_line_that_ends_with_rare_white_space_is_not_joined_with_the_next() -> None:
    text = written("FROM alpine\nRUN a \\\u2028\nRUN b\n")
    assert [line for line in text.split("\n") if line.endswith("\\")] == []
    assert "\nRUN b\n" in text
