// The connection to the server: the rows once, then the event stream from there on.
//
// The stream is read by fetch and not by EventSource: its comments show that the connection lives, which EventSource
// keeps to itself, and an answer that refuses says why. Whoever returns sends the id of the last message that it has
// handled, and gets exactly what it missed, or the snapshot.

// The server sends at least a comment every 15 s.
const SILENCE = 40_000;
// Answers that never come would take all the connections that a browser makes to one server.
const LIMIT = 60_000;
const PAUSES = [300, 700, 1500, 3000, 5000, 10_000];
// A restart of the publisher takes a few seconds, and is no reason to speak of offline.
const PATIENCE = 10_000;

export class Connection {
  state = "connecting";
  since = 0;
  reason = "";
  nextTry = 0;
  /** Milliseconds by which the server's clock is ahead. */
  ahead = 0;
  #handlers;
  #last = "";
  #loaded = false;
  #attempt = 0;
  /** The last moment that is shown: of an answer with rows, or of a piece of the stream. */
  #heard = 0;
  /** When this attempt began or received something. */
  #moved = 0;
  #probing = false;
  #abort = new AbortController();
  #wake = () => {};

  /** `handlers`: rows(answer), event(event), node(node) and changed(), of which the last one is called for states. */
  constructor(handlers) {
    this.#handlers = handlers;
    setInterval(() => this.#watch(), 1000);
    addEventListener("online", () => { this.retry(); this.#probe(); });
    addEventListener("offline", () => this.#watch());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.#watch();
      this.#probe();
    });
  }

  /** Connects, and connects again, for as long as the page is open. */
  async run() {
    for (;;) {
      try {
        await this.#connect();
      } catch (error) {
        this.reason = reasonOf(error);
        if (error instanceof Refusal) this.#enter("refused");
      }
      if (this.state === "live") this.#enter("reconnecting");
      await this.#pause();
    }
  }

  /** Ends the pause before the next attempt, or an attempt that is not answered. */
  retry() {
    this.#attempt = 0;
    if (this.state !== "live") this.#abort.abort();
    this.#wake();
  }

  /** Asks for rows again, for what is not in the stream. */
  async rows() {
    return (await this.get("api/rows")).json();
  }

  /** Returns the answer to a request; raises an error that says what was wrong. Without a `signal` it has a limit. */
  async get(path, { signal = AbortSignal.timeout(LIMIT), headers = {} } = {}) {
    let response;
    try {
      response = await fetch(path, { cache: "no-store", credentials: "same-origin", headers, signal });
    } catch (error) {
      throw new Error(reasonOf(error));
    }
    if (response.status === 401 || response.status === 403) {
      throw new Refusal("it wants a token: open its address once more with ?token=… behind it");
    }
    if (!response.ok) throw new Error(`the answer was HTTP ${response.status}`);
    return response;
  }

  async #connect() {
    this.#abort = new AbortController();
    this.#moved = Date.now();
    const { signal } = this.#abort;
    if (!this.#loaded) await this.#load(signal);
    const headers = this.#last ? { "Last-Event-ID": this.#last } : {};
    const response = await this.get("events?text=1", { headers, signal });
    this.#heard = this.#moved = Date.now();
    this.#enter("live");
    this.#attempt = 0;
    const heard = () => { this.#heard = this.#moved = Date.now(); };
    for await (const message of messages(response.body, heard)) this.#take(message);
    throw new Error("the server closed the connection");
  }

  async #load(signal) {
    const response = await this.get("api/rows", { signal });
    const told = Date.parse(response.headers.get("date"));
    // The rows of a fleet may take longer than a silence may.
    const moved = new TransformStream({ transform: (piece, to) => { this.#moved = Date.now(); to.enqueue(piece); } });
    const answer = await new Response(response.body.pipeThrough(moved)).json();
    // The header has whole seconds.
    this.ahead = Math.abs(told - Date.now()) > 2000 ? told - Date.now() : 0;
    this.#last = answer.cursor ?? cursorOf(answer);
    this.#loaded = true;
    this.#heard = Date.now();
    this.#handlers.rows(answer);
  }

  #take({ id, event, data }) {
    try {
      if (event === "node") this.#handlers.node(JSON.parse(data));
      else this.#handlers.event(JSON.parse(data));
    } catch (error) {
      // What cannot be understood is not skipped: all rows are read again.
      this.#loaded = false;
      throw new Error(`a message was not understood (${error.message})`);
    }
    if (id) this.#last = id;
  }

  #enter(state) {
    if (this.state === state) return;
    this.state = state;
    this.since = state === "live" ? Date.now() : this.#heard;
    this.#handlers.changed();
  }

  /** Notices a connection or an attempt that is silent, a network that went, and an outage that lasts. */
  #watch() {
    if (Date.now() - this.#moved > SILENCE) this.#abort.abort();
    // Again and again: an answer may come just before the network is gone, or a connection just after the event.
    if (!navigator.onLine) this.#probe();
    const since = this.since || performance.timeOrigin;
    const long = !navigator.onLine || Date.now() - since > PATIENCE;
    if (long && (this.state === "reconnecting" || this.state === "connecting")) this.#enter("offline");
    if (this.state !== "live") this.#handlers.changed();
  }

  /** Ends a connection over which the server does not answer, as after a sleep; one on this host lives offline, too. */
  async #probe() {
    if (this.#probing || this.state !== "live") return;
    this.#probing = true;
    const abort = this.#abort;
    try {
      await (await this.get("api/status", { signal: AbortSignal.timeout(5000) })).text();
    } catch {
      abort.abort();
    } finally {
      this.#probing = false;
    }
  }

  async #pause() {
    const pause = PAUSES[Math.min(this.#attempt++, PAUSES.length - 1)] * (0.75 + Math.random() / 2);
    this.nextTry = Date.now() + pause;
    await new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, pause);
    });
  }
}

/** An answer that asks for a token. */
export class Refusal extends Error {}

/** Returns an error in words; the browser's own say little, and each browser other things. */
function reasonOf(error) {
  if (error.name === "AbortError" || error.name === "TimeoutError") return "the connection was silent";
  return error instanceof TypeError ? "no answer" : error.message;
}

/** Returns the id from which the stream goes on: of one node, that of its newest event. */
function cursorOf({ nodes, fleet }) {
  const [{ epoch, seq } = {}] = nodes;
  return fleet || nodes.length !== 1 || !epoch ? "" : `${epoch}-${String(seq).padStart(16, "0")}`;
}

/** Yields the messages of a stream of Server-Sent Events; calls `heard` for each piece, comments too. */
async function* messages(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let message = { id: "", event: "", data: [] };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const [field, text] = fieldOf(line);
      if (field === "data") message.data.push(text);
      else if (field === "id" || field === "event") message[field] = text;
      else if (field === "" && text === "" && message.data.length) {
        yield { ...message, data: message.data.join("\n") };
        message = { id: "", event: "", data: [] };
      }
    }
  }
}

/** Returns the name and the value of a line of the stream; both are empty for the end of a message. */
function fieldOf(line) {
  const whole = line.endsWith("\r") ? line.slice(0, -1) : line;
  const colon = whole.indexOf(":");
  if (colon < 0) return [whole, ""];
  return [whole.slice(0, colon), whole.slice(whole[colon + 1] === " " ? colon + 2 : colon + 1)];
}
