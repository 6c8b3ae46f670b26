// The table of interfaces: one row each, filtered, sorted, with those of containers folded.
//
// A row is laid out by itself (`content-visibility`), and only texts that differ are written, so that an event costs
// the same in a table of 2,000 rows as in one of ten.

import { byId, make, setText } from "./dom.js";
import { Row } from "./row.js";
import { countText } from "./text.js";

const natural = new Intl.Collator("en", { numeric: true }).compare;
const STATES = { down: 0, waiting: 1, up: 2, off: 3 };
// Above so many rows at once, all are put in order at once.
const MANY = 50;

const COLUMNS = [
  { id: "node", title: "Node", order: (one, other) => natural(one.node, other.node) },
  { id: "name", title: "Interface", order: (one, other) => natural(one.name, other.name) },
  { id: "state", title: "State", order: (one, other) => STATES[one.state.group] - STATES[other.state.group] },
  { id: "speed", title: "Speed", order: (one, other) => speedOf(other) - speedOf(one) },
  { id: "addresses", title: "Addresses", order: (one, other) => natural(addressOf(one), addressOf(other)) },
  { id: "routes", title: "Default route", order: (one, other) => other.routes.length - one.routes.length },
  { id: "changed", title: "Changed", order: (one, other) => other.changed - one.changed },
  { id: "flaps", title: "Flaps", explained: "How often the link went down within the last hour",
    order: (one, other) => other.flapsShown - one.flapsShown },
];

const speedOf = (entry) => (entry.state.group === "up" && entry.face.transmit_link_speed) || 0;
const addressOf = (entry) => entry.addresses[0]?.address ?? "~";

export class Table {
  filter = { words: [], state: "all", type: "" };
  sort = { column: "name", turned: false };
  unfolded = false;
  selected = "";
  #model;
  #now;
  #open;
  #rows = new Map();
  #parts = [
    { body: byId("rows"), shown: [] },
    { body: byId("container-rows"), shown: [] },
  ];
  #current = "";

  /** `now()` returns the server's time in milliseconds; `open(entry)` shows an interface's history. */
  constructor(model, now, open) {
    this.#model = model;
    this.#now = now;
    this.#open = open;
    this.#head();
    byId("table").addEventListener("click", (event) => this.#click(event));
    byId("table").addEventListener("keydown", (event) => this.#key(event));
  }

  /** Shows the entries of these keys as they are now, and flashes some; `all` filters and sorts everything anew. */
  update(keys, { all, flashed }) {
    for (const key of keys) this.#write(key);
    if (all || keys.size > MANY) this.arrange();
    else for (const key of keys) this.#place(key);
    for (const key of keys) if (!this.#model.entries.has(key)) this.#rows.delete(key);
    this.#tell();
    if (flashed.size <= MANY) for (const key of flashed) this.#flash(key);
  }

  /** Filters and sorts everything. */
  arrange() {
    const focused = this.#focusedKey();
    const wanted = [[], []];
    for (const entry of this.#model.entries.values()) {
      const place = this.#partOf(entry);
      if (place !== undefined) wanted[place].push(entry);
    }
    wanted.forEach((entries, place) => {
      entries.sort(this.#order);
      this.#parts[place].shown = entries;
      this.#parts[place].body.replaceChildren(...entries.map((entry) => this.#row(entry).tr));
    });
    this.#refocus(focused);
    this.#tell();
  }

  /** Sorts by a column, and the other way round when it is that one already. */
  sortBy(column) {
    this.sort = { column, turned: this.sort.column === column && !this.sort.turned };
    this.#head();
    this.arrange();
  }

  /** Writes the times anew. */
  tick() {
    const now = this.#now();
    for (const entry of this.#model.entries.values()) {
      entry.flapsShown = this.#model.flapsOf(entry, now);
      this.#rows.get(entry.key)?.writeTimes(entry, now);
    }
    this.#tell();
  }

  /** Marks the row whose history is shown. */
  select(key) {
    for (const each of [this.selected, key]) {
      const row = this.#rows.get(each);
      if (row) row.tr.toggleAttribute("data-selected", each === key);
    }
    this.selected = key;
  }

  /** Moves the focus to the row of this key, or to the first row. */
  focus(key = this.#current) {
    const row = this.#rows.get(key);
    const first = this.#parts.find((part) => part.shown.length)?.shown[0];
    (row?.tr.isConnected ? row : first && this.#row(first))?.button.focus();
  }

  #head() {
    const headings = COLUMNS.map(({ id, title, explained }) => {
      const button = make("button", { type: "button", title: explained ?? "" }, title);
      const heading = make("th", { className: id, scope: "col" }, button);
      heading.setAttribute("role", "columnheader");
      heading.dataset.column = id;
      if (this.sort.column === id) heading.ariaSort = this.sort.turned ? "descending" : "ascending";
      return heading;
    });
    const focused = document.activeElement?.closest("th[data-column]")?.dataset.column;
    byId("headings").replaceChildren(...headings);
    headings.find((heading) => heading.dataset.column === focused)?.firstChild.focus();
    const offered = COLUMNS.filter(({ id }) => id !== "node" || this.#model.fleet);
    const options = offered.map(({ id, title }) => make("option", { value: id }, `By ${title.toLowerCase()}`));
    byId("sort").replaceChildren(...options);
    byId("sort").value = this.sort.column;
  }

  #order = (one, other) => {
    const { order } = COLUMNS.find(({ id }) => id === this.sort.column);
    const turned = order(one, other) * (this.sort.turned ? -1 : 1);
    return turned || natural(one.node, other.node) || natural(one.name, other.name) || natural(one.luid, other.luid);
  };

  /** Returns the part of the table that an entry is in now, if it is in one. */
  #partOf(entry) {
    const { words, state, type } = this.filter;
    if (type && entry.type !== type) return undefined;
    if (state === "flapping" ? !entry.flapsShown : state !== "all" && entry.state.group !== state) return undefined;
    if (!words.every((word) => entry.words.includes(word))) return undefined;
    if (!entry.isOfContainers) return 0;
    return this.unfolded || words.length ? 1 : undefined;
  }

  /** Returns the row of an entry, made when it is first shown. */
  #row(entry) {
    let row = this.#rows.get(entry.key);
    if (!row) {
      row = new Row(entry.key);
      this.#rows.set(entry.key, row);
      row.write(entry, this.#model.nodes.get(entry.node), this.#now());
    }
    return row;
  }

  #write(key) {
    const entry = this.#model.entries.get(key);
    if (!entry) return;
    entry.flapsShown = this.#model.flapsOf(entry, this.#now());
    this.#rows.get(key)?.write(entry, this.#model.nodes.get(entry.node), this.#now());
  }

  /** Puts one row where it belongs, if it is not there. */
  #place(key) {
    const entry = this.#model.entries.get(key);
    const part = entry && this.#partOf(entry);
    const focused = this.#focusedKey();
    const next = focused === key && part === undefined ? this.#neighbourOf(key) : focused;
    this.#parts.forEach((each, place) => {
      const at = each.shown.findIndex((shown) => shown.key === key);
      if (at >= 0 && (place !== part || !this.#fits(each.shown, at, entry))) {
        each.shown.splice(at, 1);
        if (place !== part) this.#rows.get(key)?.tr.remove();
      } else if (at >= 0) return;
      if (place === part) this.#insert(each, entry);
    });
    this.#refocus(next);
  }

  #fits(shown, at, entry) {
    if (shown[at] !== entry) return false;
    return (at === 0 || this.#order(shown[at - 1], entry) <= 0)
      && (at + 1 === shown.length || this.#order(entry, shown[at + 1]) <= 0);
  }

  #insert({ body, shown }, entry) {
    let [low, high] = [0, shown.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#order(shown[middle], entry) <= 0) low = middle + 1;
      else high = middle;
    }
    const before = shown[low];
    shown.splice(low, 0, entry);
    body.insertBefore(this.#row(entry).tr, before ? this.#row(before).tr : null);
  }

  #flash(key) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const tr = this.#rows.get(key)?.tr;
    if (tr?.isConnected) tr.animate([{ backgroundColor: "var(--flash)" }, {}], 1600);
  }

  /** Shows the counts, and the reason for an empty table. */
  #tell() {
    const entries = [...this.#model.entries.values()];
    const folded = entries.filter((entry) => entry.isOfContainers).length;
    const shown = this.#parts.reduce((sum, part) => sum + part.shown.length, 0);
    byId("fold").hidden = folded === 0 || this.filter.words.length > 0;
    byId("containers").ariaExpanded = String(this.unfolded);
    setText(byId("containers"), `${countText(folded, "interface")} of containers and virtual machines`);
    setText(byId("shown"), shown === entries.length ? "" : `${shown} of ${entries.length}`);
    const groups = { all: entries.length, up: 0, down: 0, flapping: 0 };
    for (const entry of entries) {
      if (entry.state.group in groups) groups[entry.state.group] += 1;
      if (entry.flapsShown) groups.flapping += 1;
    }
    for (const [group, count] of Object.entries(groups)) setText(byId(`count-${group}`), String(count));
    const why = entries.length ? "No interface is like that." : "No interface is known yet.";
    setText(byId("empty"), shown || (folded && !byId("fold").hidden) ? "" : why);
    this.#keepOneTabStop();
  }

  #keepOneTabStop() {
    const all = this.#parts.flatMap((part) => part.shown);
    const key = all.some((entry) => entry.key === this.#current) ? this.#current : all[0]?.key;
    this.#makeCurrent(key);
  }

  #makeCurrent(key) {
    const before = this.#rows.get(this.#current);
    if (before) before.button.tabIndex = -1;
    this.#current = key ?? "";
    const row = this.#rows.get(this.#current);
    if (row) row.button.tabIndex = 0;
  }

  #focusedKey() {
    return document.activeElement?.closest("tr[data-key]")?.dataset.key;
  }

  #refocus(key) {
    if (key && this.#focusedKey() !== key) this.#rows.get(key)?.button.focus({ preventScroll: true });
  }

  #nextOf(key, step) {
    const all = this.#parts.flatMap((part) => part.shown);
    const at = all.findIndex((entry) => entry.key === key);
    return all[Math.max(0, Math.min(all.length - 1, at + step))]?.key;
  }

  #neighbourOf(key) {
    const next = this.#nextOf(key, 1);
    return next === key ? this.#nextOf(key, -1) : next;
  }

  #click(event) {
    const column = event.target.closest("th[data-column]")?.dataset.column;
    if (column) this.sortBy(column);
    const key = event.target.closest("tr[data-key]")?.dataset.key;
    if (!key || !getSelection().isCollapsed) return;
    this.#makeCurrent(key);
    this.#open(this.#model.entries.get(key));
  }

  #key(event) {
    const key = this.#focusedKey();
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -Infinity, End: Infinity }[event.key];
    if (!key || step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.#makeCurrent(this.#nextOf(key, step));
    this.focus();
    document.activeElement.closest("tr").scrollIntoView({ block: "nearest" });
  }
}
