/** Renders the page in place of the loading message. */

import { render } from "preact";
import { App } from "./app";
import "./ui/icon"; // makes the address of the icon absolute before the page has another address

const root = document.getElementById("app");
if (root !== null) {
  root.replaceChildren();
  render(<App />, root);
}
