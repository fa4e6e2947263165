/** Components that are loaded when they are first shown. */

import { type ComponentType, h } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Notice } from "./notice";

/**
 * Makes a component that is loaded when it is first shown.
 *
 * @param load Imports the component; called once, and again after a failure.
 */
export function lazy<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  let part: ComponentType<P> | null = null;
  let loading: Promise<ComponentType<P>> | null = null;
  return function Lazy(props: P) {
    const [, drawn] = useState(0);
    const [failed, setFailed] = useState(false);
    useEffect(() => {
      if (part !== null) return;
      loading ??= load();
      loading.then(
        (loaded) => {
          part = loaded;
          drawn((n) => n + 1);
        },
        () => {
          loading = null;
          setFailed(true);
        },
      );
    }, []);
    if (part !== null) return h(part, props);
    if (!failed) return null;
    return (
      <Notice kind="error">
        <span>Part of this page could not be loaded. The hub may be unreachable or may have been updated.</span>
        <button type="button" onClick={() => location.reload()}>
          Reload the page
        </button>
      </Notice>
    );
  };
}
