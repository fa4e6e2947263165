"""Lines of common tools that look like an error, and lines with the same words that don't."""

from __future__ import annotations

import pytest

from asman_server.logs.landmarks import FirstError, looks_like_error
from asman_shared import limits
from asman_shared.messages import STDERR, STDOUT, LogLine

ERRORS = {
    "clang without a file": "clang: error: no input files",
    "gcc": "main.c:3:5: error: 'x' undeclared (first use in this function)",
    "gcc with -Werror": "a.c:4:9: error: unused variable 'y' [-Werror=unused-variable]",
    "gcc after warnings": "cc1: error: some warnings being treated as errors",
    "gcc in a file of that name": "src/error.c:10:2: error: expected ';' before '}' token",
    "ld": "main.o: undefined reference to `sqrt'",
    "ld of old": "/usr/bin/ld: cannot find -lfoo",
    "make": "make: *** No rule to make target 'all'.  Stop.",
    "rustc": "error[E0425]: cannot find value `x` in this scope",
    "rustc at its end": "error: aborting due to 1 previous error; 1 warning emitted",
    "rust at run time": "thread 'main' panicked at src/main.rs:2:5:",
    "python": "ModuleNotFoundError: No module named 'numpy'",
    "python in a package": "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='x', port=443)",
    "pytest": "FAILED tests/test_error.py::test_no_error - assert 1 == 2",
    "pytest's end": "========== 1 failed, 3 passed, 0 errors in 0.12s ==========",
    "mypy's end": "Found 3 errors in 1 file (checked 2 source files)",
    "java": 'Exception in thread "main" java.lang.NullPointerException',
    "maven": "[ERROR] Tests run: 4, Failures: 1, Errors: 0, Skipped: 0",
    "go's test": "--- FAIL: TestNoError (0.00s)",
    "go's package": "FAIL\texample.com/pkg\t0.003s",
    "tap": "not ok 3 - it adds",
    "npm of old": "npm ERR! code ENOENT",
    "npm": "npm error code E404",
    "tsc": "src/a.ts(3,7): error TS2304: Cannot find name 'y'.",
    "bash": "bash: line 1: foo: command not found",
    "sh": "sh: 1: cannot open /inputs/a: No such file",
    "cp": "cp: cannot stat 'error-free.txt': No such file or directory",
    "curl": "curl: (6) Could not resolve host: example.invalid",
    "ssh": "ssh: connect to host vm port 22: Connection refused",
    "git": "fatal: not a git repository (or any of the parent directories): .git",
    "apt": "E: Unable to locate package foo",
    "pip": "ERROR: Could not find a version that satisfies the requirement foo (from versions: none)",
    "docker": 'ERROR: failed to solve: process "/bin/sh -c make" did not complete successfully: exit code: 2',
    "cuda": "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
    "latex": "! Undefined control sequence.",
    "glog": "E0102 12:00:00.123456 77 server.cc:42] bind: address in use",
    "ansible": "vm : ok=2 changed=0 unreachable=0 failed=1 skipped=0",
    "r": "Error in library(foo) : there is no package called 'foo'",
    "perl": "Can't locate Foo.pm in @INC (you may need to install the Foo module)",
    "the kernel": "Segmentation fault (core dumped)",
}
OTHERS = {
    "a count": "0 errors",
    "a count of two kinds": "Finished: 0 errors, 0 failed",
    "a file's name": "reading error-free.txt",
    "a folder's name": "copying src/error/failed.rs to /tmp/errors",
    "a package": "   Compiling error-chain v0.12.4",
    "a python package": "Successfully installed PyError-1.0 exceptiongroup-1.2.0",
    "a source file": "  CC      fs/error.o",
    "an option": "+ run --fail-on-error --no-fatal",
    "a shell's trace": "+ echo 'no such file'",
    "gcc's warning": "a.c:4:9: warning: 'error' is deprecated [-Wdeprecated-declarations]",
    "python's warning": "a.py:3: DeprecationWarning: the argument 'error' is deprecated",
    "pip's warning": "WARNING: Retrying after connection broken by 'ReadTimeoutError'",
    "pytest": "tests/test_a.py::TestValueError::test_failed PASSED                [ 50%]",
    "pytest's end": "========== 4 passed, 0 failed in 0.12s ==========",
    "cargo test": "test parse::error ... ok",
    "cargo's end": "test result: ok. 12 passed; 0 failed; 0 ignored",
    "go": "=== RUN   TestError",
    "go's end": "--- PASS: TestError (0.00s)",
    "mocha": "  ✓ returns an error for a failed request",
    "tap": "ok 3 - fails with an error",
    "maven": "Tests run: 4, Failures: 0, Errors: 0, Skipped: 0",
    "ansible": "vm : ok=2 changed=1 unreachable=0 failed=0 skipped=0 rescued=0",
    "eslint": "0 problems (0 errors, 0 warnings)",
    "json": '{"status": "done", "error": null}',
    "go's log": 'level=info msg="done" error=<nil>',
    "python's value": "Result(value=3, error=None)",
    "training": "epoch 3: loss 0.31, error: 0.125",
    "statistics": "mean squared error 3, standard error 2",
    "configure": "checking for pthread.h... not found",
    "cmake": "-- Could NOT find Doxygen (missing: DOXYGEN_EXECUTABLE)",
    "words": "the job ended without an error",
    "a non-fatal one": "non-fatal: it goes on",
}


@pytest.mark.parametrize("tool", ERRORS)
def test_an_error_of_a_tool_looks_like_one(tool: str) -> None:
    assert looks_like_error(ERRORS[tool])


@pytest.mark.parametrize("tool", OTHERS)
def test_a_line_that_denies_an_error_does_not_look_like_one(tool: str) -> None:
    assert not looks_like_error(OTHERS[tool])


def test_the_first_error_stands_behind_all_lines_that_deny_one() -> None:
    lines = [*OTHERS.values(), *ERRORS.values()]
    search = FirstError()
    assert search.take(LogLine(seq, 0, STDERR if not seq else STDOUT, text) for seq, text in enumerate(lines))
    assert (search.found, search.standing) == (len(OTHERS), 0)


def test_the_longest_line_of_such_words_is_searched_to_its_end() -> None:
    for word in ("0 errors ", "error-", "error: 0 ", "a/error.", "=error" * 3):
        assert looks_like_error(word * (limits.LOG_LINE_BYTES // len(word)) + " killed")
