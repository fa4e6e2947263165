/** Which page the address asks for, and the one session that its queue has. */

import { Component, type ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type QueueAddress, type Route, socketUrl } from "./route";
import { startClock } from "./state/clock";
import { Session } from "./state/session";
import { Header } from "./ui/header";
import { JobPage } from "./ui/job-page";
import { route } from "./ui/navigation";
import { Notice } from "./ui/notice";
import { QueuePage } from "./ui/queue-page";
import { LostJobPage, StartPage } from "./ui/start-page";

export function App() {
  useEffect(startClock, []);
  return (
    <Boundary>
      <Pages route={route.value} />
    </Boundary>
  );
}

function Pages({ route }: { route: Route }) {
  if (route.page === "start") return <StartPage problem={route.problem} />;
  if (route.page === "lost-job") return <LostJobPage job={route.job} />;
  const { queue } = route;
  return <QueuePages key={`${queue.hub} ${queue.name}`} queue={queue} job={route.page === "job" ? route.job : null} />;
}

function QueuePages({ queue, job }: { queue: QueueAddress; job: string | null }) {
  const [session] = useState(() => new Session({ url: socketUrl(queue) }));
  useEffect(() => {
    session.start();
    const nudge = () => {
      if (!document.hidden) session.nudge();
    };
    window.addEventListener("online", nudge);
    document.addEventListener("visibilitychange", nudge);
    return () => {
      window.removeEventListener("online", nudge);
      document.removeEventListener("visibilitychange", nudge);
      session.stop();
    };
  }, [session]);
  return (
    <>
      <Header session={session} queue={queue} />
      <main class="page">
        {session.problem.value !== null && <Notice kind="error">{session.problem.value}</Notice>}
        {job === null ? <QueuePage session={session} queue={queue} /> : <JobPage key={job} session={session} queue={queue} id={job} />}
      </main>
    </>
  );
}

/** A mistake in the page's own code shows as a sentence, not as a blank page. */
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
          The page made a mistake and stopped: {this.state.error}. Your jobs are not affected.
          <button type="button" class="quiet" onClick={() => location.reload()}>
            Reload the page
          </button>
        </Notice>
      </main>
    );
  }
}

