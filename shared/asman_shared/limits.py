"""All limits of the protocol; both sides use them, and the tests exceed each by one."""

from __future__ import annotations

from typing import Final

from .units import KIB, LENGTH, MIB

PROTOCOL_VERSION: Final = 1

WHOLE: Final = 2**53 - 1
"""Largest whole number that every reader of JSON counts exactly (RFC 8259, section 6)."""

#: The websocket subprotocols of the native language, in order of preference.
SUBPROTOCOL_MSGPACK: Final = "asman.v1.msgpack"
SUBPROTOCOL_JSON: Final = "asman.v1.json"

FRAME_BYTES: Final = 4 * MIB
"""Largest native websocket frame that either side sends, in bytes."""
WEBSOCKET_BYTES: Final = 16 * MIB
"""Largest websocket frame that the hub reads, in bytes; ``FRAME_BYTES`` is the limit of the native language."""
FRAME_MESSAGES: Final = 10_000
"""Largest number of messages in one frame."""
DEFINITION_BYTES: Final = MIB
"""Largest canonical job definition; bigger inputs are blobs."""
INLINE_BYTES: Final = 4 * KIB
"""Largest value that travels inside a message instead of as a blob."""
NAME_LENGTH: Final = 255
"""Longest single part of an input or output name, in UTF-8 bytes; as file systems have it."""
PATH_LENGTH: Final = 1024
"""Longest input or output name in UTF-8 bytes, subfolders included."""
VALUE_DEPTH: Final = 100
"""Most lists and objects within each other in the value of a json ref."""
INPUTS: Final = 10_000
"""Most inputs, config files or outputs of one job."""
OUTPUT_PATTERNS: Final = 100
"""Most patterns by which a job names the outputs to keep."""
ENV_ENTRIES: Final = 1000
"""Most environment variables of one job."""
ARGUMENT_BYTES: Final = 128 * KIB - 1
"""Longest argument or environment entry (``NAME=value``) of a command, in UTF-8 bytes; Linux allows no longer one."""
ARGUMENTS: Final = 100_000
"""Most words of a command or entrypoint."""
ENV_NAME_LENGTH: Final = 1024
"""Longest name of an environment variable of a job."""
IMAGE_LENGTH: Final = 1024
"""Longest name of an image."""
CONTEXT_LENGTH: Final = 8 * KIB
"""Longest address of the files of a build."""
BUILD_PATH_LENGTH: Final = 4 * KIB
"""Longest path of a folder or Dockerfile in the files of a build, and longest working folder of a job."""
PLATFORM_LENGTH: Final = 64
"""Longest name of a platform, such as ``linux/arm64``."""
UNIT_LENGTH: Final = LENGTH
"""Longest text of a size or a duration, such as ``1h30m``."""
LEAST_CPUS: Final = 0.001
"""Fewest cpus that a job may ask for."""
CPUS: Final = 100_000
"""Most cpus of a job or worker."""
PORT: Final = 65_535
"""Greatest port."""
PROCESSES: Final = 2**22
"""Most processes in one container; Linux counts no further."""
GPUS: Final = 10_000
"""Most gpus of a job or worker."""
ATTEMPTS: Final = 100
"""Most lost workers that a submission may allow."""
STATES_PER_LIST: Final = 100
"""Most states in one request for a list of jobs."""
HEADER_LENGTH: Final = 64 * KIB
"""Longest header, and longest text in the query of an address; the web server refuses a longer one."""
HELD: Final = 100_000
"""Most attempts that one worker has at a time."""
OUTPUTS: Final = 50_000
"""Most files in the result of an attempt that were kept; no more fit into a message with their sha256."""
SKIPPED: Final = 100_000
"""Most files in the result of an attempt that were not kept."""
REPORT_LENGTH: Final = 64 * KIB
"""Longest sentence or name in a worker's report on an attempt, in characters."""
VOLUMES: Final = 100
"""Most folders of a job's containers that begin empty."""
STEPS: Final = 64
"""Most steps of a job besides its first command."""
TAGS: Final = 64
"""Most tags of a job or worker."""
LABEL_LENGTH: Final = 128
"""Longest queue name, namespace, tag or worker name."""
AGENT_LENGTH: Final = 200
"""Longest name and version of a client's or worker's program, with remarks in brackets."""
NAMESPACES_PER_JOB: Final = 1000
"""Most namespaces that may hold one job at a time."""
LOG_LINE_BYTES: Final = 64 * KIB
"""Longest log line; a longer one is cut into several with the same time."""
LOG_BATCH_LINES: Final = 1000
"""Most lines in one log message."""
LOG_BYTES: Final = 16 * MIB
"""Log kept per job by default; past it the head and the tail are kept."""
LOG_PAGE_LINES: Final = 10_000
"""Most lines in one page of a log."""
LOG_PATTERN_LENGTH: Final = 1000
"""Longest pattern that a log is searched for."""
LOG_CONTEXT_LINES: Final = 100
"""Most lines that are shown before or after one that was found in a log."""
LOG_SUMMARY_LINES: Final = 20
"""Last lines of a log in the summary of a job."""
LIST_PAGE: Final = 500
"""Most jobs or log lines in one page of an answer."""
LOG_PAGE_BYTES: Final = 512 * KIB
"""Most text in one page of log lines."""
BLOBS_PER_REQUEST: Final = 1000
"""Most blobs asked about in one request."""
PART_BYTES: Final = 32 * MIB
"""A larger blob is sent in parts of this size, so that a broken upload resumes."""
PARTS_PER_TICKET: Final = 64
"""Most parts that one ticket names; the next ones come with the next answer."""
HEARTBEAT_MS: Final = 10_000
"""Interval between signs of life of a worker or client, in milliseconds; the hub waits 2.5 times as long."""
PRIORITY: Final = 100
"""Priorities go from -100 to 100; higher runs first."""
RUNS_KEPT: Final = 20
"""Most earlier runs of a job that stay readable while it runs again."""
RUN_TEXT_LENGTH: Final = 300
"""Longest message or hint of an earlier run, in characters."""
MAX_ATTEMPTS: Final = 3
"""Lost workers that a job survives, by default."""
SHORTEST_RETENTION_MS: Final = 60_000
"""The shortest time for which a queue may keep its finished jobs."""
CALLBACK_URL_BYTES: Final = 2 * KIB
"""Longest URL of a webhook."""
CALLBACK_PAYLOAD_BYTES: Final = 16 * KIB
"""Largest payload that a submission gives to a webhook, as JSON."""
CALLBACKS_PER_JOB_BYTES: Final = 256 * KIB
"""Most that one unfinished job remembers of the webhooks to be called at its end."""
WAIT_SECONDS: Final = 600
"""Longest wait that one call of a tool may ask for, in seconds."""
TOOL_TEXT_BYTES: Final = 256 * KIB
"""Most text of a log or of output files in one answer of a tool; clients refuse messages over 1 MiB."""
TOOL_CONTENT_BYTES: Final = 512 * KIB
"""Largest file that is sent as a resource instead of as a link."""
