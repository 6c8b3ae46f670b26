// The history of one interface: its facts, how long each state of its link held, and its events, newest first.

import { isSameChange, lineOf, makeLine } from "./changes.js";
import { byId, make, pieces, setText } from "./dom.js";
import { addressText, routeText } from "./row.js";
import { countText, dateText, printable, spanText, speedText } from "./text.js";

const PAGE = 50;
// Lines that are shown at most: more of them are in `publisher history`.
const MOST = 2000;

export class History {
  entry = null;
  #model;
  #now;
  #get;
  #closed;
  #events = [];
  #more = false;
  #loading = 0;

  /** `get(path)` returns an answer of the server; `closed()` is called when the history was closed. */
  constructor(model, now, get, closed) {
    [this.#model, this.#now, this.#get, this.#closed] = [model, now, get, closed];
    const dialog = byId("history");
    byId("history-close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => this.#close());
    byId("older").addEventListener("click", () => this.#load(this.#events.at(-1)?.seq));
  }

  get isOpen() {
    return byId("history").open;
  }

  /** Shows an interface, and asks for its events. */
  async open(entry, { asDialog }) {
    const dialog = byId("history");
    if (dialog.open && entry.key === this.entry?.key) return;
    [this.entry, this.#events, this.#more] = [entry, [], false];
    if (!dialog.open) asDialog ? dialog.showModal() : dialog.show();
    byId("past").replaceChildren();
    byId("history-body").scrollTop = 0;
    this.update();
    byId("history-title").focus();
    await this.#load();
  }

  close() {
    if (this.isOpen) byId("history").close();
  }

  /** Adds an event as it comes, if it is about this interface; `update` shows it. */
  add(event) {
    if (!this.isOpen || event.node !== this.entry.node || event.luid !== this.entry.luid) return;
    if (this.#events.some(({ id }) => id === event.id)) return;
    this.#events.unshift(lineOf(event));
    this.#events.length = Math.min(this.#events.length, MOST);
  }

  /** Shows the facts as they are now. */
  update() {
    if (!this.isOpen) return;
    const entry = this.#model.entries.get(this.entry.key);
    this.entry = entry ?? this.entry;
    const { name, node } = this.entry;
    setText(byId("history-title"), this.#model.fleet ? `${name} on ${printable(node)}` : name);
    byId("facts").replaceChildren(...this.#facts(entry === undefined).flatMap(([name, values]) => [
      make("dt", {}, name), make("dd", {}, ...pieces(values)),
    ]));
    this.#draw();
  }

  #facts(removed) {
    const { face, families, state, type, luid } = this.entry;
    const speed = face.transmit_link_speed ?? face.last_link_speed;
    const known = state.group === "up" ? speed && speedText(speed) : speed && `was ${speedText(speed)}`;
    const stack = (luids) => this.#model.others(this.entry, luids).map(({ name }) => name);
    return [
      ["State", [removed ? "removed" : state.word]], ["Speed", known ? [known] : []], ["Type", [type]],
      ["IPv4", familyFacts(families.inet)], ["IPv6", familyFacts(families.inet6)],
      ["Default route", this.entry.routes.map((route) => `${routeText(route)}, metric ${route.metric}`)],
      ["Hardware address", face.physical_address ? [face.physical_address] : []],
      ["Description", face.description ? [printable(face.description, 120)] : []],
      ["Part of", stack(face.higher)], ["On top of", stack(face.lower)], ["LUID", [luid]],
    ].filter(([, values]) => values.length);
  }

  async #load(before) {
    const number = ++this.#loading;
    setText(byId("history-note"), "Loading …");
    byId("older").disabled = true;
    const query = new URLSearchParams({ node: this.entry.node, luid: this.entry.luid, limit: PAGE });
    if (before !== undefined) query.set("before", before);
    try {
      const { events, more } = await (await this.#get(`api/history?${query}`)).json();
      if (number !== this.#loading) return;
      const known = new Set(this.#events.map(({ id }) => id));
      this.#events.push(...events.filter(({ id }) => !known.has(id)).map(lineOf));
      this.#more = more && this.#events.length < MOST;
      const end = this.#events.length ? "Nothing older is kept." : "No change is known.";
      setText(byId("history-note"), this.#more ? "" : end);
    } catch (error) {
      if (number === this.#loading) setText(byId("history-note"), `The history was not loaded: ${error.message}.`);
    }
    byId("older").disabled = false;
    this.#draw();
  }

  #draw() {
    byId("older").hidden = !this.#more;
    const now = this.#now();
    const links = linkChanges(this.#events);
    const held = new Map(links.map((link, place) => [link.id, heldText(link, links[place - 1]?.moment, now)]));
    const lines = joined(this.#events).map((events) => {
      const { id } = events.find((event) => held.has(event.id)) ?? {};
      return makeLine(events, { now, relative: true, name: this.entry.name, held: held.get(id) ?? "" });
    });
    byId("past").replaceChildren(...lines);
    this.#drawHeld(links, now);
  }

  #drawHeld(links, now) {
    const strip = byId("strip");
    strip.hidden = links.length === 0;
    setText(byId("held"), heldSummary(links, now));
    strip.ariaLabel = byId("held").textContent;
    strip.replaceChildren(...links.toReversed().map(({ moment, up }, place, all) => {
      const end = all[place + 1]?.moment ?? now;
      const state = up ? "up" : "down";
      const title = `${state} for ${spanText((end - moment) / 1000)} from ${dateText(moment, now)}`;
      const part = make("span", { title });
      part.dataset.state = state;
      part.style.flexGrow = Math.max(1, end - moment);
      return part;
    }));
  }

  #close() {
    const { entry } = this;
    this.entry = null;
    this.#loading += 1;
    this.#closed(entry);
  }
}

function familyFacts(part) {
  if (!part) return ["not on this interface"];
  const { addresses, mtu, metric } = part;
  const settings = [mtu !== undefined && `MTU ${mtu}`, metric !== undefined && `metric ${metric}`].filter(Boolean);
  return [...addresses.map(addressText), ...(settings.length ? [settings.join(", ")] : [])];
}

/** Returns the events of each change together, newest first. */
function joined(events) {
  const changes = [];
  for (const event of events) {
    const last = changes.at(-1);
    if (last?.length === 1 && isSameChange(last[0], event)) last.unshift(event); // in their order
    else changes.push([event]);
  }
  return changes;
}

/** Returns the changes of the link, newest first, each with the state that began: once for both families. */
function linkChanges(events) {
  const links = [];
  for (const event of events) {
    const went = event.kinds.includes("link_up") !== event.kinds.includes("link_down");
    if (!went) continue;
    const up = event.kinds.includes("link_up");
    const newer = links.at(-1);
    // In the order of time the other family's event comes second, and does not change the state.
    if (newer && newer.up === up) links.pop();
    links.push({ id: event.id, moment: event.moment, up });
  }
  return links;
}

function heldText({ moment, up }, end, now) {
  const span = spanText(((end ?? now) - moment) / 1000);
  return `${up ? "up" : "down"} for ${span}${end === undefined ? " now" : ""}`;
}

/** Returns one sentence about the link: "Up for 2 h 5 min. Down 3 times since 06:12:10, 41 s in all." */
function heldSummary(links, now) {
  if (links.length === 0) return "";
  const [newest] = links;
  const oldest = links.at(-1);
  const spans = links.map(({ moment, up }, place) => ({ up, length: (links[place - 1]?.moment ?? now) - moment }));
  const downs = spans.filter(({ up }) => !up);
  const whole = downs.reduce((sum, { length }) => sum + length, 0);
  const present = `${newest.up ? "Up" : "Down"} for ${spanText((now - newest.moment) / 1000)}.`;
  const times = downs.length === 1 ? "once" : `${countText(downs.length, "time")}`;
  if (!downs.length) return present;
  return `${present} Down ${times} since ${dateText(oldest.moment, now)}, ${spanText(whole / 1000)} in all.`;
}
