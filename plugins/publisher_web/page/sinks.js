// The health of the service and its sinks, or of the nodes of a fleet.

import { byId, make, setText } from "./dom.js";
import { agoText, countText, printable, spanText } from "./text.js";

const STATES = {
  following: "delivers", sending: "delivers", opening: "is connecting", retrying: "waits", ended: "ended",
  abandoned: "was given up", failed: "failed", stopped: "stopped",
};
const TROUBLE = ["retrying", "ended", "abandoned", "failed"];

export class Sinks {
  #model;
  #now;
  #shown = "";

  constructor(model, now) {
    [this.#model, this.#now] = [model, now];
  }

  /** Shows an answer of /api/status. */
  show(status) {
    const fleet = this.#model.fleet;
    setText(byId("sinks-title"), fleet ? "Nodes" : "Sinks");
    setText(byId("sinks-tab"), fleet ? "Nodes" : "Sinks");
    if (fleet) this.#draw("", [...this.#model.nodes.values()].map((node) => this.#node(node)));
    else {
      const sinks = Object.entries(status.sinks ?? {});
      this.#draw(serviceText(status), sinks.map(([name, sink]) => this.#sink(name, sink)));
    }
  }

  /** Shows why the status is not known. */
  fail(error) {
    this.#draw(`Their state is not known: ${error.message}.`, []);
  }

  #draw(text, items) {
    setText(byId("service"), text);
    const whole = JSON.stringify(items);
    if (whole === this.#shown) return;
    this.#shown = whole;
    byId("sink-list").replaceChildren(...items.map(({ name, state, mood, facts }) => {
      const dot = make("span", { className: "dot", ariaHidden: "true" });
      const word = make("span", { className: "word" }, state);
      const item = make("li", {}, dot, make("bdi", { className: "of" }, name), word);
      item.dataset.mood = mood;
      item.append(...facts.map((fact) => make("span", { className: "fact" }, fact)));
      return item;
    }));
    byId("sinks").dataset.mood = items.some(({ mood }) => mood === "bad") ? "bad" : "";
  }

  #sink(name, sink) {
    const now = this.#now();
    const bad = Boolean(sink.error) || TROUBLE.includes(sink.state);
    const facts = [];
    if (sink.error) facts.push(printable(sink.error, 300));
    if (sink.next_attempt) facts.push(`next attempt in ${spanText(Math.max(0, sink.next_attempt - now / 1000))}`);
    if (sink.behind) facts.push(`${countText(sink.behind, "event")} behind`);
    if (sink.dead_letters) facts.push(countText(sink.dead_letters, "dead letter"));
    if (!bad && sink.last_delivery) facts.push(`last delivery ${agoText(sink.last_delivery * 1000, now)}`);
    const state = STATES[sink.state] ?? printable(sink.state);
    return { name: printable(name, 40), state, mood: bad ? "bad" : "good", facts };
  }

  #node({ node, online, in_sync: inSync, os }) {
    const state = !online ? "offline" : inSync === false ? "is being read" : "online";
    return { name: printable(node), state, mood: online ? "good" : "bad", facts: os ? [printable(os, 80)] : [] };
  }
}

function serviceText({ version, trouble, node }) {
  if (trouble) return printable(`The journal takes no events: ${trouble}`, 300);
  return version ? `publisher ${printable(version)} on ${printable(node ?? "")}; the journal is fine` : "";
}
