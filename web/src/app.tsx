/** The page that the URL asks for, and the one session with its queue. */

import { Component, type ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { type QueueAddress, queueUrl, type Route, socketUrl, startHref } from "./route";
import { FOR_WORKERS } from "./protocol/errors";
import { rememberQueue } from "./state/my-queues";
import { startClock } from "./state/clock";
import { Session } from "./state/session";
import { Header } from "./ui/header";
import { Help } from "./ui/help";
import type { JobPageProps } from "./ui/job-page";
import { startKeys } from "./ui/keys";
import { embedded, route } from "./ui/navigation";
import { lazy } from "./ui/lazy";
import { Notice } from "./ui/notice";

// Each page is a chunk of its own: the page of a job does not load the queue's tables.
const JobPage = lazy(() => import("./ui/job-page").then((part) => part.JobPage));
const QueuePage = lazy(() => import("./ui/queue-page").then((part) => part.QueuePage));
const StartPage = lazy(() => import("./ui/start-page").then((part) => part.StartPage));
const LinkedJobPage = lazy(() => import("./ui/linked-job-page").then((part) => part.LinkedJobPage));
const ForWorker = lazy(() => import("./ui/add-worker").then((part) => part.ForWorker));
const NoQueuePage = lazy(() => import("./ui/start-page").then((part) => part.NoQueuePage));

export function App() {
  useEffect(startClock, []);
  useLayoutEffect(startKeys, []); // before the first paint, so that a shortcut works as soon as it is shown
  return (
    <Boundary>
      <Pages route={route.value} />
      <Help />
    </Boundary>
  );
}

function Pages({ route }: { route: Route }) {
  switch (route.page) {
    case "start":
      return <StartPage problem={route.problem} />;
    case "linked-job":
      return <LinkedJobPage key={route.path} job={route.job} keyed={route.keyed} path={route.path} line={route.line ?? null} />;
    case "no-queue":
      return <NoQueuePage params={route.params} problem={route.problem} />;
    case "queue":
      return <OfQueue key={`queue ${route.queue.hub} ${route.queue.name}`} queue={route.queue} given={null} />;
    case "job":
      return <OfQueue key={`job ${route.queue.hub} ${route.queue.name}`} queue={route.queue} given={{ params: route.params }} />;
    case "result":
      return <OfQueue key={`job ${route.queue.hub} ${route.queue.name}`} queue={route.queue} given={{ id: route.job, line: route.line }} />;
  }
}

/** A page that is connected to a queue. The page of one job receives the changes of that job only. */
function OfQueue({ queue, given }: { queue: QueueAddress; given: JobPageProps["given"] | null }) {
  const [session] = useState(() => new Session({ url: socketUrl(queue), follow: given === null ? "queue" : "jobs" }));
  useEffect(() => {
    session.start();
    if (!embedded) rememberQueue(queueUrl(queue));
    const nudge = () => {
      if (document.hidden) return;
      session.nudge();
      session.refresh();
    };
    window.addEventListener("online", nudge);
    document.addEventListener("visibilitychange", nudge);
    return () => {
      window.removeEventListener("online", nudge);
      document.removeEventListener("visibilitychange", nudge);
      session.stop();
    };
  }, [session]);
  const status = session.status.value;
  const forWorker = status.kind === "closed" && status.code === FOR_WORKERS;
  return (
    <div class={embedded ? "embedded" : ""}>
      <Header session={session} queue={queue} counts={given === null && !forWorker} />
      <main class="page">
        {session.problem.value !== null && <Notice kind="error">{session.problem.value}</Notice>}
        {forWorker ? <ForWorker work={queue} /> : given === null ? <QueuePage session={session} queue={queue} /> : <JobPage session={session} queue={queue} given={given} />}
      </main>
    </div>
  );
}

/** Shows an error in the page's own code as a sentence instead of a blank page. */
class Boundary extends Component<{ children: ComponentChildren }, { error: string | null }> {
  override state = { error: null };

  static override getDerivedStateFromError(error: unknown) {
    return { error: error instanceof Error ? error.message : String(error) };
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return (
      <main class="page">
        <h1 class="wordmark">Asman</h1>
        <Notice kind="error">
          An error stopped this page: {this.state.error}. Your jobs are not affected.
          <button type="button" class="quiet" onClick={() => location.reload()}>
            Reload the page
          </button>
          <a href={startHref}>Start page</a>
        </Notice>
      </main>
    );
  }
}
