// The page: connects the model, the table, the history, the stream and the connection.

import { Connection } from "./connection.js";
import { byId, make, setText } from "./dom.js";
import { History } from "./history.js";
import { Model, keyOf } from "./model.js";
import { Sinks } from "./sinks.js";
import { Announcer, Stream } from "./stream.js";
import { Table } from "./table.js";
import { dateText, printable, spanText } from "./text.js";

const model = new Model();
const narrow = matchMedia("(max-width: 68.75rem)");
const announcer = new Announcer();
let drawing = false;
let statusIsAsked = false;
let rowsAreNew = false;
let unseen = 0;
/** The keys of the interfaces about which there was news since the last picture. */
let fresh = new Set();

const connection = new Connection({ rows: takeRows, event: takeEvent, node: takeNode, changed: showConnection });
const now = () => Date.now() + connection.ahead;
const get = (path) => connection.get(path);
const table = new Table(model, now, openHistory);
const stream = new Stream(model, now);
const sinks = new Sinks(model, now);
const history = new History(model, now, get, (entry) => {
  table.select("");
  table.focus(entry?.key);
});

function takeRows(answer) {
  model.load(answer);
  rowsAreNew = true;
  if (model.fleet && !document.body.classList.contains("fleet")) table.sortBy("node");
  document.body.classList.toggle("fleet", model.fleet);
  setText(byId("version"), model.version ? `publisher ${printable(model.version)}` : "");
  schedule();
  fillStream();
  readStatus();
}

function takeEvent(event) {
  const { news, missed, removed } = model.apply(event);
  if (missed) {
    stream.remark(event.node, `${event.text ?? event.node}: all rows were sent again`);
    readFlaps();
  }
  for (const entry of removed) stream.remark(entry.node, `${entry.name} removed, found by the snapshot`);
  if (news) {
    fresh.add(keyOf(event.node, event.luid));
    stream.add(event);
    history.add(event);
    announcer.say(event);
    if (document.body.dataset.view !== "events") unseen += 1;
  }
  schedule();
}

function takeNode(node) {
  model.putNode(node);
  if (model.fleet) sinks.show({});
  schedule();
}

/** Draws what changed, once for all events that came before the next picture. */
function schedule() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const changed = model.takeChanged();
    table.update(changed, { all: rowsAreNew, flashed: fresh });
    fresh = new Set();
    if (changed.size) writeTypes();
    rowsAreNew = false;
    stream.draw();
    if (history.isOpen && changed.has(history.entry.key)) history.update();
    setText(byId("unseen"), narrow.matches && unseen ? String(Math.min(unseen, 999)) : "");
    showTitle();
  });
}

/** Reads what happened before: the list of events begins with it, and rows do not tell when they changed. */
async function fillStream() {
  const [{ node = "", seq } = {}] = model.nodes.values();
  const query = new URLSearchParams({ limit: 100 });
  if (!model.fleet && seq !== undefined) query.set("before", seq + 1);
  try {
    const { events } = await (await get(`api/history?${query}`)).json();
    stream.fill(events);
    for (const event of events) model.noteChange(event);
    schedule();
  } catch (error) {
    stream.remark(node, `What was before is not known: ${error.message}`);
    schedule();
  }
}

async function readFlaps() {
  try {
    model.setFlaps((await connection.rows()).flaps);
    schedule();
  } catch (error) {
    stream.remark("", `The flaps may be wrong, they were not read again: ${error.message}`);
  }
}

async function readStatus() {
  if (document.hidden || connection.state === "offline" || statusIsAsked) return;
  statusIsAsked = true;
  try {
    sinks.show(await (await get("api/status")).json());
  } catch (error) {
    sinks.fail(error);
  } finally {
    statusIsAsked = false;
  }
}

const WORDS = {
  live: "Live", connecting: "Connecting …", reconnecting: "Reconnecting", offline: "Offline", refused: "Refused",
};

function showConnection() {
  const { state, since, reason, nextTry } = connection;
  const shown = byId("connection");
  if (shown.dataset.state !== state) byId("connection-text").ariaLive = "polite";
  shown.dataset.state = state;
  document.body.classList.toggle("stale", state !== "live" && since > 0);
  const stale = since ? ` since ${dateText(since, Date.now())}: what you see is from then` : ": nothing is loaded yet";
  const why = state === "offline" || state === "refused" ? ` (${reason || "no network"})` : "";
  const remark = state === "live" || state === "connecting" ? "" : why + stale;
  setText(byId("connection-text"), WORDS[state] + remark);
  const wait = Math.max(0, nextTry - Date.now());
  byId("retry").hidden = state !== "offline" && state !== "refused";
  byId("retry").title = wait ? `next try in ${spanText(wait / 1000)}` : "";
  showTitle();
}

function showTitle() {
  const [{ node } = {}] = model.nodes.values();
  const of = model.fleet ? `${model.nodes.size} nodes` : printable(node ?? "");
  const name = of ? `Interfaces of ${of}` : "Interfaces";
  setText(byId("title"), name);
  const entries = [...model.entries.values()];
  const down = entries.filter((entry) => entry.state.group === "down" && !entry.isOfContainers).length;
  const head = connection.state === "live" ? (down ? `${down} down · ` : "") : `(${connection.state}) `;
  const title = head + name;
  if (document.title !== title) document.title = title;
}

function openHistory(entry) {
  if (!entry) return;
  table.select(entry.key);
  history.open(entry, { asDialog: narrow.matches });
}

/** Offers the types of interfaces that there are. */
function writeTypes() {
  const select = byId("type");
  const types = [...new Set([...model.entries.values()].map((entry) => entry.type))].sort();
  if (types.join("\n") === [...select.options].slice(1).map((option) => option.value).join("\n")) return;
  const chosen = select.value;
  const options = types.map((type) => make("option", { value: type }, type));
  select.replaceChildren(make("option", { value: "" }, "All types"), ...options);
  select.value = types.includes(chosen) ? chosen : "";
  if (select.value !== chosen) filter();
}

function filter() {
  table.filter = {
    words: byId("search").value.toLowerCase().split(/\s+/).filter(Boolean),
    state: document.querySelector("input[name=state]:checked").value,
    type: byId("type").value,
  };
  table.arrange();
}

function toggleContainers() {
  table.unfolded = !table.unfolded;
  table.arrange();
}

function show(view) {
  document.body.dataset.view = view;
  for (const button of document.querySelectorAll("nav button")) {
    button.ariaPressed = String(button.dataset.view === view);
  }
  if (view === "events") unseen = 0;
  schedule();
}

const KEYS = {
  "/": () => { show("interfaces"); byId("search").select(); byId("search").focus(); },
  c: toggleContainers,
  p: () => stream.pause(),
};

function press(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const writing = event.target.matches("input[type=search], select");
  if (event.key === "Escape") {
    if (event.target === byId("search") && byId("search").value) byId("search").value = "";
    else if (history.isOpen) history.close();
    else if (writing) table.focus();
    filter();
  } else if (event.key === "ArrowDown" && event.target === byId("search")) table.focus();
  else if (!writing && !document.querySelector(":modal") && KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
}

byId("search").addEventListener("input", filter);
byId("type").addEventListener("change", filter);
byId("sort").addEventListener("change", () => table.sortBy(byId("sort").value));
byId("containers").addEventListener("click", toggleContainers);
byId("retry").addEventListener("click", () => connection.retry());
document.querySelector("fieldset.segments").addEventListener("change", filter);
document.querySelector("nav").addEventListener("click", (event) => {
  const { view } = event.target.closest("button")?.dataset ?? {};
  if (view) show(view);
});
document.addEventListener("keydown", press);
document.addEventListener("visibilitychange", readStatus);
setInterval(readStatus, 5000);
setInterval(() => { table.tick(); if (history.isOpen) history.update(); }, 5000);
document.documentElement.classList.add("ready");
connection.run();
