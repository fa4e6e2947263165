/** Renders the page in place of the loading message. */

import { render } from "preact";
import { App } from "./app";

const root = document.getElementById("app");
if (root !== null) {
  root.replaceChildren();
  render(<App />, root);
}
