/**
 * A subscriber of the IP interfaces of one host or many: of each node the rows as a snapshot, then every change.
 *
 *     import { Rows, subscribe } from "./subscribe.mjs";
 *
 *     const rows = new Rows();
 *     for await (const event of subscribe("mqtt://broker.lan")) {
 *       rows.apply(event);
 *       if (event.snapshot === null) console.log(event.node, event.interface.alias, event.kinds.join(", "));
 *     }
 *
 * `event` is the event as `publisher schema event` describes it. A snapshot is whole: position 0 without a row, then
 * positions 1 to `count`. It replaces every row of its node, and stands for each change before it. After it comes every
 * change, in order, once: over reconnects, restarts of the broker and of the publisher, and a broker that lost its
 * store. Where changes can't be had any more, the snapshot comes again.
 *
 * mqtt://, mqtts://, ws:// and wss:// are a broker, and need mqtt.js 5: `npm install mqtt`, or in a page its script or
 * the option `mqtt`. http:// and https:// are the web sink of one publisher, or `publisher web`, and need nothing. It
 * runs in Node 20 and later, and in browsers. docs/subscribers.md has the contract, and the other ways to subscribe.
 */

/**
 * Yields the events of every node. It ends when the loop is left, or when `signal` is aborted.
 *
 * Throws when the first connection fails, and later only when the login or a subscription is refused. What is lost is
 * connected again. Events wait in memory for a slow loop, at most `limit` of them and one snapshot; what does not fit
 * is requested again.
 *
 * @param {string} url
 * @param {object} [options]
 * @param {string[]} [options.nodes] only these nodes
 * @param {Object<string, {epoch: string, seq: number}>} [options.since] the last event that you have of a node: only
 *   what came after it is sent, or the snapshot where that is not known any more
 * @param {AbortSignal} [options.signal]
 * @param {(status: {node: string, online: ?boolean, in_sync: boolean, epoch: string, seq: number}) => void}
 *   [options.onStatus] is called when a node comes, goes, falls behind or is in sync
 * @param {(text: string) => void} [options.log] is called with a line for each lost connection
 * @param {string} [options.base] of MQTT, the beginning of the topics; `interfaces` without it
 * @param {string} [options.username] of MQTT
 * @param {string} [options.password] of MQTT
 * @param {string} [options.ca] of MQTT, in Node: certificates of authorities, PEM
 * @param {object} [options.mqtt] mqtt.js, where it can't be imported by its name
 * @param {string} [options.token] of HTTP: the web sink's token
 * @param {number} [options.limit] the most events that wait; 10,000 without it
 */
export function subscribe(url, options = {}) {
  const { protocol } = new URL(url);
  if (["mqtt:", "mqtts:", "ws:", "wss:"].includes(protocol)) return overMqtt(url, options);
  if (["http:", "https:"].includes(protocol)) return overHttp(url, options);
  throw new TypeError(`expected mqtt://, mqtts://, ws://, wss://, http:// or https://, not ${protocol}//`);
}

// ---------------------------------------------------------------- MQTT: the rules, without input and output
// This part, up to the next line like this one, stands in the flow for Node-RED as well (compose/examples).

/** The rows of all nodes as they are: a Map of the newest event of each IP interface, by `node/luid/family`. */
export class Rows extends Map {
  apply(event) {
    const { node, luid, family, snapshot, notification_type: type } = event;
    if (snapshot?.position === 0) {
      for (const [key, row] of this) if (row.node === node) this.delete(key);
    } else if (type === "delete_instance") this.delete(`${node}/${luid}/${family}`);
    else this.set(`${node}/${luid}/${family}`, event);
  }
}

const SECOND = 1000;
/** After so long without an answer, a request counts as lost. */
const PATIENCE = 10 * SECOND;
const ATTEMPTS = 2;
/** Anybody may write to a broker: what was made up must not fill the memory. */
const MOST_NODES = 5_000;
const MOST_ROWS = 100_000;
const LATE_IN_A_ROW = 5;

/**
 * The nodes on a broker. `take` and `tick` return events, and leave messages to publish in `requests`.
 *
 * The rows are those of the retained states, as soon as these are as many as `info` counts, or those of an answer to
 * a request. From then on a node's events are taken only one after the other, by `seq`. Whatever shows that one is
 * missing (a later event, a newer state, a newer `info`) leads to a request for those after the last that was taken.
 * So an event that can't be taken is dropped without harm: while an answer is awaited, or when there is no room.
 */
export class Follower {
  constructor({ base = "interfaces", client, nodes, since = {}, now = Date.now, hasRoom = () => true, onStatus }) {
    Object.assign(this, { base, client, now, hasRoom, onStatus, only: nodes, since, nodes: new Map(), requests: [] });
  }

  /** The topic filters to subscribe to, at each connection, without retain-as-published. */
  get topics() {
    return (this.only ?? ["+"]).flatMap((node) =>
      ["status", "info", `replay/${this.client}`, "+/+/event", "+/+/state"].map(
        (rest) => `${this.base}/${node}/${rest}`,
      ),
    );
  }

  /** Begins a new connection: what is retained comes again, and requests that are open get no answer. */
  begin() {
    for (const node of this.nodes.values()) {
      Object.assign(node, {
        online: null,
        info: null,
        ask: null,
        answer: null,
        isMute: false,
        isChecked: false,
        isLive: false,
      });
      Object.assign(node, { states: new Map(), touched: this.now() });
      this.#told(node);
    }
  }

  /** Takes a message, whose payload is text; returns events. What can't be read is dropped. */
  take(topic, payload, isRetained) {
    if (!topic.startsWith(`${this.base}/`)) return [];
    const [name, ...rest] = topic.slice(this.base.length + 1).split("/");
    const node = this.#node(name);
    if (!node) return [];
    const events = [];
    const [first, second, kind] = rest;
    if (first === "status" && rest.length === 1) this.#status(node, payload === "online");
    else if (first === "info" && rest.length === 1 && payload === "") this.#forgotten(node, events);
    else if (rest.length === 3 && kind === "state") this.#state(node, first, second, payload, isRetained, events);
    else {
      const message = parsed(payload);
      if (!message) return [];
      if (first === "info" && rest.length === 1) this.#info(node, message, events);
      else if (first === "replay" && second === this.client) this.#answer(node, message, events);
      else if (rest.length === 3 && kind === "event") this.#event(node, first, second, message, events);
    }
    this.#told(node);
    return events;
  }

  /** Requests what did not come; call it once or twice a second. Returns events. */
  tick() {
    const events = [];
    for (const node of this.nodes.values()) {
      this.#look(node, this.now(), events);
      this.#told(node);
    }
    return events;
  }

  #node(name) {
    let node = this.nodes.get(name);
    if (!node && this.nodes.size < MOST_NODES && (!this.only || this.only.includes(name))) {
      node = {
        name,
        online: null,
        epoch: "", // of `rows` and `seq`
        seq: 0, // every event up to this one was handed over, or is contained in the rows
        rows: null, // the seq that each row contains, by key; null while there are none
        isGuess: false, // the rows may not be all: they were taken while nobody was there to answer
        isPartial: false, // begun by `since`, so that not every row is known
        states: new Map(), // the states since the connection began, by key
        info: null, // since the connection began
        ahead: { epoch: "", seq: 0, at: 0 }, // the newest event that anything told of
        heard: { epoch: "", seq: 0 }, // the last event that was received
        older: 0,
        ask: null, // an open request
        answer: null, // the part of it that was received
        isMute: false, // it does not answer
        isChecked: false, // its rows were requested since a state showed one that is not known
        isLive: false, // the states are no longer those that were retained at subscription alone
        touched: this.now(), // the last retained message
        told: "",
      };
      const since = this.since[name];
      if (since) Object.assign(node, { epoch: since.epoch, seq: since.seq, rows: new Map(), isPartial: true });
      this.nodes.set(name, node);
    }
    return node;
  }

  #status(node, online) {
    // A publisher that has started did not receive what was requested before.
    if (online && node.online === false && node.ask) Object.assign(node.ask, { at: -Infinity, attempts: 0 });
    if (online && !node.online) node.isMute = false;
    node.online = online;
  }

  /** Takes an empty `info`: what was retained of the node is removed. */
  #forgotten(node, events) {
    const { name, epoch, seq, rows } = node;
    if (rows !== null) events.push(...snapshotOf(name, { epoch, seq, time: timeOf(this.now()) }, []));
    Object.assign(node, { online: false, rows: null, info: null });
    this.nodes.delete(name);
  }

  #info(node, info, events) {
    if (!isPosition(info) || info.epoch < node.epoch) return;
    node.info = { epoch: info.epoch, seq: info.seq, rows: info.rows, skips: Boolean(info.skips) };
    dropOlder(node, info.epoch);
    this.#ahead(node, info);
    if (node.rows === null) this.#inSync(node, events);
  }

  #state(node, luid, family, payload, isRetained, events) {
    const key = keyOf(luid, family);
    if (!key) return;
    if (isRetained) node.touched = this.now();
    else node.isLive = true;
    if (payload === "") node.states.delete(key);
    else {
      const state = parsed(payload);
      if (!isPosition(state) || !state.row || !state.interface) return;
      const known = node.states.get(key);
      if (state.epoch < (node.info?.epoch ?? node.epoch) || (known && !isAfter(state, known))) return;
      if (!known && node.states.size >= MOST_ROWS) return;
      node.states.set(key, state);
      // A live state comes before its event, so it says nothing about the rows; a retained one may be all there is.
      if (isRetained) this.#ahead(node, state);
      if (isRetained && isUnknown(node, key, state)) {
        // There were as many states as `info` counts by chance, or this one was left by mistake: the node knows.
        node.isChecked = true;
        this.#request(node, events, null);
      }
    }
    if (node.rows === null) this.#inSync(node, events);
  }

  #event(node, luid, family, message, events) {
    const event = "specversion" in message ? message.data : message;
    if (!isEvent(event) || event.luid !== luid || event.family !== family || event.node !== node.name) return;
    if (event.epoch < node.epoch) {
      // One may be late. Several in a row show that the epoch that is known was made up: the node's answer corrects it.
      if (++node.older >= LATE_IN_A_ROW && !node.ask) this.#request(node, events, null);
      return;
    }
    node.older = 0;
    node.heard = { epoch: event.epoch, seq: event.seq };
    this.#ahead(node, event);
    if (node.ask || !this.hasRoom(events.length)) return;
    if (node.rows === null) return;
    if (event.epoch > node.epoch || (node.isGuess && !node.isMute)) this.#request(node, events, null);
    else if (event.seq > node.seq + 1 && !node.info?.skips) this.#request(node, events);
    else deliver(node, event, events);
  }

  /** Notes the newest event that there is. */
  #ahead(node, { epoch, seq }) {
    if (isAfter({ epoch, seq }, node.ahead)) node.ahead = { epoch, seq, at: this.now() };
  }

  /** Takes the rows of the retained states when there are as many as `info` counts. */
  #inSync(node, events) {
    const { info, states } = node;
    if (node.ask || !info || node.isLive || states.size !== info.rows || !this.hasRoom(0)) return;
    // That a node has no rows at all, it has to answer itself: anybody may have written such an `info`.
    if (!info.rows && node.online !== false) return;
    // A newer state shows that this `info` may count others.
    if ([...states.values()].every((state) => !isAfter(state, info))) this.#rowsOfStates(node, events, false);
  }

  #rowsOfStates(node, events, isGuess = true) {
    const epochs = [node.info?.epoch ?? "", ...[...node.states.values()].map((state) => state.epoch)];
    const epoch = epochs.reduce((newest, each) => (each > newest ? each : newest));
    const rows = [...node.states].filter(([, state]) => state.epoch === epoch).sort(([a], [b]) => (a < b ? -1 : 1));
    // Everything up to these was published whole. A state may be further: its row alone is.
    const whole = [node.info, node.heard].filter((position) => position?.epoch === epoch);
    const seq = Math.max(...whole.map((position) => position.seq));
    // Not all of them are there, or an answer was further than what is published.
    if (!whole.length || isAfter(node, { epoch, seq })) return;
    const time = rows.reduce((newest, [, state]) => (state.time > newest ? state.time : newest), "");
    const states = rows.map(([key, state]) => {
      const [luid, family] = key.split("/");
      return { addresses: [], default_routes: [], ...state, luid, family };
    });
    events.push(...snapshotOf(node.name, { epoch, seq, time: time || timeOf(this.now()) }, states));
    const contained = new Map(rows.map(([key, state]) => [key, state.seq]));
    Object.assign(node, { epoch, seq, rows: contained, isGuess, isPartial: false, ask: null, answer: null });
    // Nobody is there to be asked for more.
    if (node.isMute || node.online === false) node.ahead = { epoch, seq, at: this.now() };
  }

  /** Requests the events after the last one that was taken; the rows, with null. Only one request is open. */
  #request(node, events, since = node.seq) {
    if (node.ask || !this.hasRoom(events.length)) return;
    if (node.isMute) {
      if (node.states.size || node.info) this.#rowsOfStates(node, events);
      return;
    }
    node.ask = { since: node.isGuess ? null : since, at: this.now(), attempts: 1, upTo: node.ahead };
    this.#send(node);
  }

  #send(node) {
    const { since } = node.ask;
    const request = { client: this.client, ...(since === null ? {} : { since: { epoch: node.epoch, seq: since } }) };
    this.requests.push({ topic: `${this.base}/${node.name}/replay/get`, payload: JSON.stringify(request) });
  }

  #look(node, now, events) {
    const { ask, ahead } = node;
    if (ask) {
      if (now - ask.at < (node.online === false ? SECOND : PATIENCE)) return;
      if (ask.attempts < ATTEMPTS && node.online !== false) {
        Object.assign(ask, { at: now, attempts: ask.attempts + 1 });
        this.#send(node);
      } else if (this.hasRoom(0)) {
        Object.assign(node, { ask: null, answer: null, isMute: true });
        this.#request(node, events);
      }
    } else if (node.rows === null) {
      const isQuiet = now - node.touched >= SECOND;
      if (isQuiet && (node.info || node.states.size || node.online || node.heard.epoch))
        this.#request(node, events, null);
    } else if (node.isGuess && node.online && !node.isMute) {
      this.#request(node, events, null);
    } else if (isAfter(ahead, node) && now - ahead.at >= SECOND) {
      this.#request(node, events, sinceOf(node, ahead));
    }
  }

  #answer(node, part, events) {
    // A late answer is none, but shows that the next one may come.
    if (!node.ask) node.isMute = false;
    if (!node.ask || !Number.isInteger(part.position) || !Number.isInteger(part.count)) return;
    if (part.position === 0) {
      node.answer = null;
      if (part.error !== undefined) Object.assign(node.ask, { at: -Infinity, attempts: ATTEMPTS });
      else if (isPosition(part) && part.count <= MOST_ROWS) {
        node.answer = { ...part, next: 1, events: [] };
        node.ask.attempts = 1;
      }
    } else if (part.position > node.answer?.next) {
      // A part of it is lost.
      node.answer = null;
      node.ask.at = this.now() - PATIENCE + SECOND;
    } else if (part.position === node.answer?.next) {
      node.answer.next += 1;
      // In place of an event that is larger than the broker takes stands an error.
      if (isEvent(part.event) && part.event.node === node.name) node.answer.events.push(part.event);
    }
    if (node.answer && node.answer.next > node.answer.count) this.#answered(node, node.answer, events);
  }

  #answered(node, { answer, epoch, seq, events: replayed }, events) {
    const { upTo } = node.ask;
    Object.assign(node, { ask: null, answer: null, older: 0 });
    if (!this.hasRoom(0)) return;
    if (answer === "snapshot") {
      const rows = replayed.filter((event) => event.snapshot);
      const { time = timeOf(this.now()), cause, snapshot } = rows[0] ?? {};
      events.push(...snapshotOf(node.name, { epoch, seq, time, cause, id: snapshot?.id }, rows));
      const contained = new Map(rows.map((event) => [keyOf(event.luid, event.family), event.seq]));
      Object.assign(node, { epoch, seq, rows: contained, isGuess: false, isPartial: false });
      dropOlder(node, epoch);
      // What was made up is forgotten; what is true comes again, by its event.
      node.ahead = { epoch, seq, at: this.now() };
    } else if (epoch === node.epoch && node.rows) {
      for (const event of replayed) deliver(node, event, events);
      // With a filter the newest event may be one that this sink does not publish.
      node.seq = Math.max(node.seq, seq, upTo.epoch === epoch && node.info?.skips ? upTo.seq : 0);
    }
  }

  #told(node) {
    const inSync = node.rows !== null && !node.ask && node.info !== null && !isAfter(node.ahead, node);
    const status = { node: node.name, online: node.online, in_sync: inSync, epoch: node.epoch };
    const told = JSON.stringify(status);
    if (this.onStatus && told !== node.told) {
      node.told = told;
      this.onStatus({ ...status, seq: node.seq });
    }
  }
}

/** Hands an event over, unless it was, or its row contains it. */
function deliver(node, event, events) {
  if (event.epoch !== node.epoch || event.seq <= node.seq) return;
  node.seq = event.seq;
  const key = keyOf(event.luid, event.family);
  const contained = node.rows.get(key);
  if (contained !== undefined && event.seq <= contained) return;
  // The state of a removed interface is emptied before its last events come: then there was no row.
  if (contained === undefined && event.notification_type !== "add_instance" && !node.isPartial) return;
  if (event.notification_type === "delete_instance") node.rows.delete(key);
  else node.rows.set(key, event.seq);
  events.push(event);
}

/** Returns the `since` of a request for what is missing up to a position. */
function sinceOf(node, { epoch }) {
  return epoch === node.epoch ? node.seq : null;
}

/** Returns whether a retained state is of a row that should be known, and is not. */
function isUnknown(node, key, state) {
  if (node.rows === null || node.isPartial || node.isChecked || node.rows.has(key)) return false;
  return state.epoch === node.epoch && state.seq <= node.seq;
}

function dropOlder(node, epoch) {
  for (const [key, state] of node.states) if (state.epoch < epoch) node.states.delete(key);
}

/** Returns the events of a snapshot, of rows that have everything which differs between them. */
function snapshotOf(node, { epoch, seq, time, cause = "startup", id }, rows) {
  const identity = id ?? `${epoch}-${String(seq).padStart(16, "0")}-${randomHex()}`;
  const common = { schema_version: 1, node, epoch, seq, time, notification_type: "initial_notification", cause };
  const nothing = { luid: null, family: null, row: null, interface: null, addresses: [], default_routes: [] };
  return [nothing, ...rows].map((row, position) => {
    const place = { id: `${identity}-${position}`, kinds: [], changed: {} };
    return { ...common, ...row, ...place, snapshot: { id: identity, position, count: rows.length } };
  });
}

function timeOf(milliseconds) {
  return new Date(milliseconds).toISOString();
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

function isPosition(value) {
  if (!isObject(value)) return false;
  return /^[0-9a-f]{16}$/.test(value.epoch) && Number.isSafeInteger(value.seq) && value.seq >= 0;
}

function isEvent(event) {
  return (
    isObject(event) &&
    isPosition(event) &&
    isObject(event.row) &&
    isObject(event.interface) &&
    keyOf(event.luid, event.family) !== null &&
    typeof event.notification_type === "string"
  );
}

function isObject(value) {
  return value !== null && typeof value === "object";
}

/** Epochs sort by age, and `seq` grows within one. */
function isAfter(one, other) {
  return one.epoch === other.epoch ? one.seq > other.seq : one.epoch > other.epoch;
}

function keyOf(luid, family) {
  return /^[0-9a-f]{16}$/.test(luid) && /^inet6?$/.test(family) ? `${luid}/${family}` : null;
}

function randomHex() {
  return Math.floor(Math.random() * 2 ** 48)
    .toString(16)
    .padStart(12, "0");
}

// ---------------------------------------------------------------- MQTT: the connection

const CONNECT_TIMEOUT = 10 * SECOND;
const LOOK_EVERY = SECOND / 2;

async function* overMqtt(url, options) {
  const { signal, limit = 10_000, log = () => {} } = options;
  const mqtt = options.mqtt ?? globalThis.mqtt ?? (await import("mqtt")).default;
  const waiting = new Waiting(signal);
  const client = randomHex();
  const hasRoom = (more) => waiting.count + more < limit;
  const follower = new Follower({ ...options, client, hasRoom });
  const broker = mqtt.connect(addressOf(url), {
    // 3.1.1 is spoken by every broker on its usual port.
    protocolVersion: 4,
    clientId: `publisher-${client}`,
    username: options.username,
    password: options.password,
    ca: options.ca,
    keepalive: 30,
    connectTimeout: CONNECT_TIMEOUT,
    reconnectPeriod: SECOND * (1 + Math.random()),
    resubscribe: false,
  });
  let wasConnected = false;
  const text = new TextDecoder();
  const put = (events) => {
    waiting.put(events);
    for (const { topic, payload } of follower.requests.splice(0)) broker.publish(topic, payload, { qos: 1 });
  };
  broker.on("connect", () => {
    wasConnected = true;
    follower.begin();
    broker.subscribe(follower.topics, { qos: 1 }, (error, granted = []) => {
      const refused = granted.find(({ qos }) => qos > 2);
      if (refused) waiting.fail(new Error(`the broker refuses the subscription to ${refused.topic}`));
      else if (error) log(`no subscription: ${error.message}`);
    });
  });
  broker.on("message", (topic, payload, { retain }) => put(follower.take(topic, text.decode(payload), retain)));
  broker.on("error", (error) => {
    // A refused login has the code of the CONNACK.
    if (!wasConnected || typeof error.code === "number") waiting.fail(error);
    else log(`the connection failed: ${error.message}`);
  });
  broker.on("close", () => {
    if (!wasConnected) waiting.fail(new Error(`no connection to ${new URL(url).host}`));
    else log("the connection is lost; trying again");
  });
  const timer = setInterval(() => broker.connected && put(follower.tick()), LOOK_EVERY);
  try {
    yield* waiting.all();
  } finally {
    clearInterval(timer);
    broker.end(true);
  }
}

/** As in Python, WebSockets have the path /mqtt unless the URL has one. */
function addressOf(url) {
  const address = new URL(url);
  if (address.protocol.startsWith("ws") && address.pathname === "/") address.pathname = "/mqtt";
  return address.href;
}

/** The events that were received and not taken. */
class Waiting {
  #events = [];
  #at = 0;
  #error = null;
  #wake = () => {};

  constructor(signal) {
    this.signal = signal;
  }

  get count() {
    return this.#events.length - this.#at;
  }

  put(events) {
    for (const event of events) this.#events.push(event);
    if (events.length) this.#wake();
  }

  fail(error) {
    this.#error ??= error;
    this.#wake();
  }

  /** Yields the events, until the signal is aborted. */
  async *all() {
    const wake = () => this.#wake();
    this.signal?.addEventListener("abort", wake);
    try {
      while (!this.signal?.aborted) {
        if (this.#at < this.#events.length) {
          yield this.#events[this.#at++];
          if (this.#at === this.#events.length) [this.#events, this.#at] = [[], 0];
        } else if (this.#error) throw this.#error;
        else await new Promise((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.signal?.removeEventListener("abort", wake);
    }
  }
}

// ---------------------------------------------------------------- HTTP: Server-Sent Events, read with fetch

/** The server sends a comment every 15 s; after so long without a byte, the connection is dead. */
const SILENCE = 45 * SECOND;
const LONGEST_PAUSE = 30 * SECOND;
const LONGEST_LINE = 1 << 24;

async function* overHttp(url, { nodes, since = {}, signal, onStatus, log = () => {}, token }) {
  const address = new URL(`${new URL(url).pathname.replace(/\/+$/, "")}/events`, url);
  const [cursor, ...others] = Object.values(since);
  // One publisher has one cursor; those of several nodes would be ids of another server.
  let lastId = cursor && !others.length ? `${cursor.epoch}-${String(cursor.seq).padStart(16, "0")}` : null;
  const order = new Order();
  let pause = 0;
  for (let wasConnected = false; !signal?.aborted;) {
    const aborter = new AbortController();
    const abort = () => aborter.abort();
    signal?.addEventListener("abort", abort);
    try {
      const headers = { Accept: "text/event-stream" };
      if (token) headers.Authorization = `Bearer ${token}`;
      if (lastId !== null) headers["Last-Event-ID"] = lastId;
      const answer = await inTime(
        aborter,
        fetch(address, { headers, signal: aborter.signal, cache: "no-store", redirect: "error" }),
      );
      if (!answer.ok)
        throw Object.assign(new Error(`${address.origin} answers ${answer.status}`), { status: answer.status });
      wasConnected = true;
      order.begin();
      for await (const message of messages(answer.body, aborter)) {
        pause = 0;
        const value = parsed(message.data);
        if (!value || (nodes && !nodes.includes(value.node))) lastId = message.id ?? lastId;
        else if (message.event === "node") onStatus?.(value);
        else {
          const events = order.take(value);
          lastId = message.id ?? lastId;
          yield* events;
        }
        if (signal?.aborted) return;
      }
      log("the connection ended; trying again");
    } catch (error) {
      if (signal?.aborted) return;
      if (!wasConnected || [401, 403].includes(error.status)) throw error;
      log(`the connection is lost: ${error.message}; trying again`);
    } finally {
      signal?.removeEventListener("abort", abort);
      aborter.abort();
    }
    pause = Math.min(LONGEST_PAUSE, pause ? pause * 2 : SECOND);
    await delay(pause * (0.5 + Math.random() / 2), signal);
  }
}

/** Yields each snapshot whole, and each event once. */
class Order {
  #positions = new Map();
  #snapshots = new Map();

  /** A snapshot that was cut off comes again from its beginning. */
  begin() {
    this.#snapshots.clear();
  }

  take(event) {
    const { node, epoch, seq, snapshot } = event;
    if (snapshot === null) {
      const position = this.#positions.get(node);
      if (position && !isAfter(event, position)) return [];
      this.#positions.set(node, { epoch, seq });
      return [event];
    }
    if (snapshot.position === 0) this.#snapshots.set(node, []);
    const rows = this.#snapshots.get(node);
    rows?.push(event);
    if (snapshot.position < snapshot.count || !rows) return [];
    this.#snapshots.delete(node);
    this.#positions.set(node, { epoch, seq });
    return rows;
  }
}

/** Yields the messages of a stream (HTML standard, 9.2.6). */
async function* messages(body, aborter) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let message = { data: [] };
  for (;;) {
    const { done, value } = await inTime(aborter, reader.read());
    if (done) return;
    text += value;
    // A CR at the end may be the first half of a CRLF.
    const lines = text.split(/\r\n|\n|\r(?!$)/);
    text = lines.pop();
    if (text.length > LONGEST_LINE) throw new Error("a line without an end: this is no stream of events");
    for (const line of lines) {
      if (line === "") {
        if (message.data.length) yield { ...message, data: message.data.join("\n") };
        message = { data: [] };
        continue;
      }
      const [, field, rest] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (field === "data") message.data.push(rest);
      else if (field === "event" || field === "id") message[field] = rest;
    }
  }
}

/** Returns what the promise does, or aborts after a long silence. */
async function inTime(aborter, promise) {
  const timer = setTimeout(() => aborter.abort(new Error(`nothing was received for ${SILENCE / SECOND} s`)), SILENCE);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

function delay(time, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, time);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    signal?.addEventListener("abort", done);
  });
}
