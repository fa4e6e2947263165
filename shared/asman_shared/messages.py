"""The messages of the native protocol, version 1.

A frame is an array of messages; a message is a map with a ``type``. Unknown fields are ignored and unknown types are
answered with an error, so versions can differ. Times are integer epoch milliseconds, durations are milliseconds,
sizes are bytes. A request carries a ``ref`` chosen by its sender and gets exactly one answer with the same ``ref``:
its reply or an `Error`.

Both sockets open in the same way: the client or worker sends the first message (`Hello` or `Register`), and the hub
answers (`Welcome` or `Registered`). No other message is sent before that.
"""

from __future__ import annotations

from .client_messages import (
    Accepted,
    BlobLinks,
    BlobTickets,
    Callback,
    Callbacks,
    Cancel,
    Cancelled,
    Changed,
    CountsChanged,
    Delete,
    Deleted,
    Explain,
    Explanation,
    Follow,
    Following,
    Get,
    GetBlobs,
    Hello,
    Job,
    JobPage,
    List,
    LogLines,
    PhaseProgress,
    PutBlobs,
    Submit,
    Summarise,
    Unfollow,
    Validate,
    Validated,
    Welcome,
    WorkerChanged,
    WorkerPage,
    Workers,
)
from .log_messages import (
    STREAMS,
    Gap,
    JobSummary,
    ListRuns,
    LogPage,
    LogSelection,
    ReadLog,
    RunList,
    Stream,
)
from .owning.orders import Configure, Configured, DeletedQueue, DeleteQueue, Dismiss, Keep, Keeping, Purge, Purged
from .ranges import Count, JobId, Label, Millis, Ref, Sha256
from .records import (
    CRLF,
    LF,
    LINE_ENDS,
    NO_END,
    STDERR,
    STDOUT,
    SYSTEM,
    BlobLink,
    BlobPart,
    BlobTicket,
    Counts,
    Error,
    JobState,
    Limits,
    LogLine,
    Message,
    Need,
    Outcome,
    OutputFile,
    Ping,
    Pong,
    Problem,
    RateLimit,
    Result,
    Resume,
    Run,
    StepEnd,
    Summary,
    Verdict,
    WorkerState,
)
from .worker_messages import (
    Abort,
    Acknowledged,
    Assign,
    Drain,
    Finished,
    Held,
    Kept,
    LogBatch,
    PhaseReport,
    Register,
    Registered,
    Released,
)

ClientMessage = (
    Hello
    | Submit
    | Cancel
    | Delete
    | Get
    | List
    | Workers
    | Follow
    | Unfollow
    | ReadLog
    | ListRuns
    | Summarise
    | Explain
    | Validate
    | Configure
    | Keep
    | Dismiss
    | Purge
    | DeleteQueue
    | PutBlobs
    | GetBlobs
    | Ping
    | Pong
)
HubToClient = (
    Welcome
    | Accepted
    | Cancelled
    | Deleted
    | Job
    | JobPage
    | WorkerPage
    | Following
    | LogPage
    | RunList
    | JobSummary
    | Explanation
    | Validated
    | Configured
    | Keeping
    | Purged
    | DeletedQueue
    | BlobTickets
    | BlobLinks
    | Changed
    | WorkerChanged
    | CountsChanged
    | PhaseProgress
    | LogLines
    | Error
    | Ping
    | Pong
)
WorkerMessage = Register | PhaseReport | LogBatch | Finished | Released | Drain | PutBlobs | GetBlobs | Ping | Pong
HubToWorker = Registered | Assign | Abort | Acknowledged | BlobTickets | BlobLinks | Error | Ping | Pong

__all__ = [
    "CRLF",
    "LF",
    "LINE_ENDS",
    "NO_END",
    "STDERR",
    "STDOUT",
    "STREAMS",
    "SYSTEM",
    "Abort",
    "Accepted",
    "Acknowledged",
    "Assign",
    "BlobLink",
    "BlobLinks",
    "BlobPart",
    "BlobTicket",
    "BlobTickets",
    "Callback",
    "Callbacks",
    "Cancel",
    "Cancelled",
    "Changed",
    "ClientMessage",
    "Configure",
    "Configured",
    "Count",
    "Counts",
    "CountsChanged",
    "Delete",
    "DeleteQueue",
    "Deleted",
    "DeletedQueue",
    "Dismiss",
    "Drain",
    "Error",
    "Explain",
    "Explanation",
    "Finished",
    "Follow",
    "Following",
    "Gap",
    "Get",
    "GetBlobs",
    "Held",
    "Hello",
    "HubToClient",
    "HubToWorker",
    "Job",
    "JobId",
    "JobPage",
    "JobState",
    "JobSummary",
    "Keep",
    "Keeping",
    "Kept",
    "Label",
    "Limits",
    "List",
    "ListRuns",
    "LogBatch",
    "LogLine",
    "LogLines",
    "LogPage",
    "LogSelection",
    "Message",
    "Millis",
    "Need",
    "Outcome",
    "OutputFile",
    "PhaseProgress",
    "PhaseReport",
    "Ping",
    "Pong",
    "Problem",
    "Purge",
    "Purged",
    "PutBlobs",
    "RateLimit",
    "ReadLog",
    "Ref",
    "Register",
    "Registered",
    "Released",
    "Result",
    "Resume",
    "Run",
    "RunList",
    "Sha256",
    "StepEnd",
    "Stream",
    "Submit",
    "Summarise",
    "Summary",
    "Unfollow",
    "Validate",
    "Validated",
    "Verdict",
    "Welcome",
    "WorkerChanged",
    "WorkerMessage",
    "WorkerPage",
    "WorkerState",
    "Workers",
]
