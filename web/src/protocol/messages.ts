/**
 * The messages of the native protocol, version 1, that the page uses. They mirror the hub's models: a message is a map
 * with a `type`, and fields with their default value are left out. Times are in milliseconds since the epoch, durations
 * in milliseconds, sizes in bytes.
 */

export const PROTOCOL_VERSION = 1;
export const SUBPROTOCOL = "asman.v1.msgpack";
/** Most jobs or log lines in one page of an answer. */
export const LIST_PAGE = 500;

export type State = "Queued" | "Running" | "Finished" | "Removed";
export type Phase = "assigned" | "staging" | "pulling" | "building" | "running" | "uploading";
export type Reason =
  | "Success"
  | "Failed"
  | "Error"
  | "TimedOut"
  | "OutOfMemory"
  | "Cancelled"
  | "Replaced"
  | "WorkerLost"
  | "Deleted";

/** What a key allows; only the queue's name allows all. */
export type Right = "read" | "submit" | "work" | "own";

export interface DataRef {
  value: unknown;
  type?: "utf8" | "json" | "base64" | "url" | "key";
}

export interface Build {
  context?: string;
  buildContext?: string;
  filename?: string;
  target?: string;
  dockerfile?: string;
  buildArgs?: string[];
  platform?: string;
}

export interface Definition {
  v?: string | number;
  image?: string;
  build?: Build;
  command?: string | string[];
  entrypoint?: string | string[];
  workdir?: string;
  shmSize?: string;
  env?: Record<string, string>;
  inputs?: Record<string, DataRef>;
  configFiles?: Record<string, DataRef>;
  maxDuration?: string;
  tags?: string[];
  requirements?: { cpus?: number; gpus?: number; maxDuration?: string; memory?: string };
  outputs?: string[];
  volumes?: string[];
  stdin?: string;
  stdout?: string;
  stderr?: string;
  ignoreFailure?: boolean;
  steps?: Step[];
}

/** A further command of a job, in a container of its own. */
export interface Step {
  image?: string;
  command?: string | string[];
  entrypoint?: string | string[];
  workdir?: string;
  env?: Record<string, string>;
  stdin?: string;
  stdout?: string;
  stderr?: string;
  ignoreFailure?: boolean;
}

/** The parts of a definition that a list shows. */
export interface Summary {
  image?: string;
  build?: string;
  command?: string;
  tags?: string[];
  cpus?: number;
  memory?: number;
  gpus?: number;
}

export interface Verdict {
  ok: boolean;
  reason: Reason;
  exit_code?: number | null;
  message?: string;
  hint?: string;
  fault?: "job" | "worker" | "hub" | null;
  outputs?: number;
  lines?: number;
  duration?: number;
}

/** The current state of a job. It is complete except for `summary`; the newest replaces all others, see `newer`. */
export interface JobState {
  id: string;
  rev: number;
  state: State;
  attempt?: number;
  phase?: Phase | null;
  queued?: number;
  started?: number;
  finished?: number;
  worker?: string;
  namespaces?: string[];
  priority?: number;
  /** Seq of the first log line of this run; seqs keep growing when a job runs again. */
  log_start?: number;
  /** What became of the run's latest attempt that came to nothing. */
  back?: string;
  verdict?: Verdict | null;
  summary?: Summary | null;
  /** Counts the runs of the job, from 1 on. */
  run?: number;
}

/** One run of a job, ended or present. */
export interface Run {
  number: number;
  queued: number;
  /** The way it ended; left out while it has not. */
  reason?: Reason | null;
  started?: number;
  finished?: number;
  worker?: string;
  exit_code?: number | null;
  message?: string;
  duration?: number;
  log_start?: number;
  lines?: number;
  /** Whether its log can still be read. */
  log_kept?: boolean;
  present?: boolean;
}

export interface OutputFile {
  ref: DataRef;
  size: number;
  sha256: string;
  media_type?: string;
  mode?: number;
}

export interface Result {
  outputs?: Record<string, OutputFile>;
  skipped?: Record<string, string>;
  phases?: Partial<Record<Phase, number>>;
  image_digest?: string;
  worker?: string;
}

export const STDOUT = 0;
export const STDERR = 1;
export const SYSTEM = 2;

/** A log line: `[seq, time, stream, text, phase, end]`. Seqs count from 0 over all attempts of a run. */
export type WireLine = [seq: number, time: number, stream: number, text: string, phase?: Phase, end?: number];

export interface WorkerState {
  id: string;
  rev: number;
  state: "ready" | "draining" | "away" | "gone";
  name?: string;
  agent?: string;
  cpus?: number;
  memory?: number;
  gpus?: number;
  tags?: string[];
  platform?: string;
  max_duration?: number;
  executor?: string;
  jobs?: number;
  used_cpus?: number;
  used_memory?: number;
  used_gpus?: number;
  since?: number;
  remark?: string;
}

export interface Counts {
  queued?: number;
  running?: number;
  finished?: number;
  workers?: number;
  /** Whether the queue gives no jobs to workers. */
  paused?: boolean;
}

/** The last change that this page has seen. */
export interface Resume {
  epoch: string;
  seq: number;
}

/** The reason for a job's current state. */
export interface Explanation {
  job: string;
  state: State;
  sentence: string;
  /** Number of connected workers that could run the job when they are free. */
  able?: number;
  workers?: number;
  /** Number of jobs ahead of it; a lower bound when `beyond`. */
  position?: number | null;
  beyond?: boolean;
  waiting_for?: string;
}

/** One problem of a definition. */
export interface Problem {
  /** Path of the field, such as `definition.requirements.memory`. */
  field: string;
  message: string;
}

/** The expected outcome of submitting a definition. */
export interface Validated {
  id: string;
  ok: boolean;
  problems?: Problem[];
  missing_blobs?: string[];
  able?: number;
  why?: string;
  known?: State | null;
}

/** The missing parts of a blob, and instructions to upload them. */
export interface BlobTicket {
  sha256: string;
  exists?: boolean;
  /** Whether all bytes have arrived and are being verified. */
  pending?: boolean;
  /** Reason why the blob was refused, such as bytes that do not match its name. */
  refused?: string;
  url?: string;
  method?: string;
  headers?: Record<string, string>;
  parts?: { number: number; offset: number; size: number; url: string }[];
  missing?: number;
}

// ------------------------------------------------------------------------------------------- both directions

export interface Ping {
  type: "ping";
  ref?: number;
}
export interface Pong {
  type: "pong";
  ref?: number;
}
export interface ErrorMessage {
  type: "error";
  code: string;
  message: string;
  ref?: number | null;
  field?: string | null;
  retry?: boolean;
  /** Time after which the request may succeed, in milliseconds. */
  retry_after?: number | null;
}

// ----------------------------------------------------------------------------------------------- page to hub

export interface Hello {
  type: "hello";
  protocol: number;
  agent: string;
  follow: "jobs" | "queue";
  resume?: Resume;
}

/** A webhook to call. */
export interface Callback {
  url: string;
  payload?: unknown;
  /** The receiver gets the queue's whole name, over https alone. */
  whole_queue?: boolean;
}

/** Every request with its answer; the connection adds the `ref`. */
export interface Requests {
  submit: {
    ask: {
      definition: Definition;
      /** The results that answer instead of a new run: of a success, of any run with an exit code, or none. */
      reuse?: "success" | "any" | "never";
      follow?: boolean;
      namespace?: string;
      /** Time limit in milliseconds, in addition to the limit in the definition. */
      time_limit?: number;
      callbacks?: { queued?: Callback; finished?: Callback };
    };
    answer: { type: "accepted"; answer: "queued" | "joined" | "cached"; able?: number; why?: string; job: JobState; earlier?: Verdict | null };
  };
  cancel: {
    ask: { job: string; namespace?: string };
    answer: { type: "cancelled"; released: boolean; job: JobState };
  };
  delete: { ask: { job: string }; answer: { type: "deleted"; job: string } };
  explain: { ask: { job: string }; answer: { type: "explanation" } & Explanation };
  validate: { ask: { definition: Definition }; answer: { type: "validated" } & Validated };
  put_blobs: { ask: { blobs: [sha256: string, size: number][] }; answer: { type: "blob_tickets"; tickets: BlobTicket[] } };
  get_blobs: { ask: { keys: string[] }; answer: { type: "blob_links"; links: { sha256: string; url?: string; size?: number }[] } };
  get: {
    ask: { job: string };
    answer: { type: "job"; job: JobState; definition: Definition; result?: Result | null };
  };
  list: {
    ask: { states?: State[]; before?: number; limit?: number };
    answer: { type: "jobs"; jobs: JobState[]; next?: number | null; counts?: Counts };
  };
  workers: { ask: object; answer: { type: "worker_list"; workers: WorkerState[] } };
  follow: {
    ask: { job: string; logs?: boolean; since?: number };
    answer: { type: "following"; active: boolean; job?: JobState | null };
  };
  unfollow: { ask: { job: string }; answer: { type: "following"; active: boolean; job?: JobState | null } };
  summarise: {
    ask: { job: string };
    answer: { type: "job_summary"; job: JobState; error_seq?: number | null };
  };
  list_runs: { ask: { job: string }; answer: { type: "runs"; runs: Run[] } };
  read_log: {
    ask: { job: string; since?: number; limit?: number };
    answer: { type: "log_page"; lines: WireLine[]; next: number; final?: boolean };
  };
}

export type RequestType = keyof Requests;
export type Ask<T extends RequestType> = Requests[T]["ask"];
export type Answer<T extends RequestType> = Requests[T]["answer"] & { ref: number };

export type Outgoing = Hello | Ping | Pong | { [T in RequestType]: { type: T; ref: number } & Ask<T> }[RequestType];

// ----------------------------------------------------------------------------------------------- hub to page

export interface Welcome {
  type: "welcome";
  protocol: number;
  hub: string;
  epoch: string;
  seq: number;
  time: number;
  heartbeat?: number;
  recovered?: boolean;
  /** The image for jobs that name none. */
  default_image?: string;
  counts?: Counts;
  /** The queue's secret for URLs of results that need no name of a queue. */
  links?: string;
  /** The rights of the name or key in the page's address; left out by hubs that know no keys. */
  rights?: Right[];
}

export interface Changed {
  type: "changed";
  seq: number;
  job: JobState;
}
export interface WorkerChanged {
  type: "worker_changed";
  seq: number;
  worker: WorkerState;
}
export interface CountsChanged {
  type: "counts";
  counts: Counts;
}
/** Progress of a followed job's current phase; sent from time to time and not stored. */
export interface PhaseProgress {
  type: "progress";
  job: string;
  attempt: number;
  phase: Phase;
  done: number;
  total: number;
  /** Unit of `done` and `total`: `bytes`, or the counted things. */
  unit?: string;
}
export interface LogLines {
  type: "log";
  job: string;
  lines: WireLine[];
  gap?: number | null;
}

/** A message that the hub sends without a request. */
export type Push = Changed | WorkerChanged | CountsChanged | PhaseProgress | LogLines;

export type Incoming = Welcome | Push | Ping | Pong | ErrorMessage | Answer<RequestType>;
