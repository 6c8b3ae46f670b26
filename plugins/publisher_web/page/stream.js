// The list of events as they come, the newest first. It can be paused, and is bounded.

import { isSameChange, lineOf, makeLine, writeLine } from "./changes.js";
import { byId, make, setText } from "./dom.js";
import { countText, printable } from "./text.js";

const MOST = 300;
const KINDS = [
  "link_up", "link_down", "speed_increased", "speed_decreased", "address_added", "address_removed",
  "default_route_added", "default_route_removed", "default_route_changed", "renamed", "mtu_changed",
  "forwarding_changed", "added", "removed", "other",
];

export class Stream {
  paused = false;
  #now;
  #model;
  /** The changes, newest first, each with its events in their order. */
  #changes = [];
  #waiting = 0;
  #remarks = 0;
  #dirty = false;

  constructor(model, now) {
    this.#model = model;
    this.#now = now;
    byId("kind").append(...KINDS.map((kind) => make("option", { value: kind }, kind.replaceAll("_", " "))));
    byId("kind").addEventListener("change", () => this.#drawAll());
    byId("pause").addEventListener("click", () => this.pause());
  }

  /** Takes an event that is news. */
  add(event) {
    this.#take(lineOf(event));
  }

  /** Takes a remark on a node that is no event of an interface. */
  remark(node, text) {
    const none = { luid: null, kinds: [], changed: {}, notification_type: "", name: "" };
    this.#take({ ...none, id: `remark-${++this.#remarks}`, node, moment: this.#now(), text });
  }

  /** Takes what happened before the page was opened, newest first. */
  fill(events) {
    const known = new Set(this.#changes.flat().map((line) => line.id));
    for (const event of events) {
      if (!known.has(event.id)) this.#join(lineOf(event), "push");
    }
    this.#bound();
    this.#drawAll();
  }

  /** Pauses the list, or goes on with what came meanwhile. */
  pause() {
    this.paused = !this.paused;
    this.#waiting = 0;
    byId("pause").ariaPressed = String(this.paused);
    if (!this.paused) this.#drawAll();
    this.draw();
  }

  /** Shows what came since the last call. */
  draw() {
    setText(byId("pause"), !this.paused ? "Pause" : this.#waiting ? `Go on: ${this.#waiting} new` : "Go on");
    if (!this.#dirty || this.paused) return;
    this.#dirty = false;
    const list = byId("stream");
    const newest = list.firstElementChild?.dataset.ids.split(" ")[0];
    const fresh = this.#changes.findIndex((events) => events.some((event) => event.id === newest));
    // More than are kept, or none yet: all is new.
    if (fresh < 0) return this.#drawAll();
    if (this.#isShown(this.#changes[fresh])) writeLine(list.firstElementChild, this.#changes[fresh]);
    list.prepend(...this.#lines(this.#changes.slice(0, fresh)));
    while (list.childElementCount > MOST) list.lastElementChild.remove();
    byId("quiet").hidden = list.childElementCount > 0;
  }

  #take(line) {
    this.#join(line, "unshift");
    this.#bound();
    this.#waiting += 1;
    this.#dirty = true;
  }

  /** Adds an event to the change that it belongs to, if that is next to it; else as a change of its own. */
  #join(line, how) {
    const near = how === "push" ? this.#changes.at(-1) : this.#changes[0];
    if (near?.length !== 1 || !isSameChange(near[0], line)) this.#changes[how]([line]);
    else if (how === "push") near.unshift(line);
    else near.push(line);
  }

  #bound() {
    this.#changes.length = Math.min(this.#changes.length, MOST);
  }

  #drawAll() {
    const lines = this.#lines(this.#changes);
    byId("stream").replaceChildren(...lines);
    byId("quiet").hidden = lines.length > 0;
    const none = "No change yet: each one appears here as it happens.";
    setText(byId("quiet"), byId("kind").value ? "No such change yet." : none);
  }

  #isShown(events) {
    const kind = byId("kind").value;
    return !kind || events[0].kinds.includes(kind);
  }

  #lines(changes) {
    const shown = changes.filter((events) => this.#isShown(events));
    return shown.map((events) => makeLine(events, { now: this.#now(), node: this.#model.fleet ? events[0].node : "" }));
  }
}

/** Announces changes to people who listen: a few in words, many as a number, at most every few seconds. */
export class Announcer {
  #texts = [];
  #timer = 0;

  /** Announces an event, soon. */
  say({ text, family, kinds }) {
    if (!kinds.some((kind) => /^(link|speed|added|removed)/.test(kind))) return;
    if (this.#texts.at(-1)?.text !== text || this.#texts.at(-1).family === family) this.#texts.push({ text, family });
    this.#timer ||= setTimeout(() => this.#speak(), 1500);
  }

  #speak() {
    this.#timer = 0;
    const texts = this.#texts.splice(0).map(({ text }) => printable(text, 120));
    byId("said").textContent = texts.length > 3 ? countText(texts.length, "change") : texts.join(". ");
  }
}
