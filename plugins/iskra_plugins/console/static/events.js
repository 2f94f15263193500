// Follows a session's events and resumes after the last one seen.

import { address, ApiError, eventsPath, problemOf } from "./api.js";

const SILENCE = 40_000; // milliseconds without a byte; the server pings every 15 s
const FIRST_PAUSE = 400; // milliseconds before the first new try
const LONGEST_PAUSE = 15_000;

/** Takes text in pieces of any size and returns the events that became complete (WHATWG HTML, 9.2.6). */
export class EventParser {
  constructor() {
    this.rest = "";
    this.lines = [];
  }

  push(piece) {
    const events = [];
    this.rest += piece;
    let from = 0;
    for (let end = this.rest.indexOf("\n"); end >= 0; end = this.rest.indexOf("\n", from)) {
      const line = this.rest.slice(from, this.rest[end - 1] === "\r" ? end - 1 : end);
      from = end + 1;
      if (line) {
        this.lines.push(line);
      } else {
        const event = read(this.lines);
        this.lines = [];
        if (event) events.push(event);
      }
    }
    this.rest = this.rest.slice(from);
    return events;
  }
}

function read(lines) {
  const event = { id: "", type: "message", data: "" };
  const data = [];
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (name === "data") data.push(value);
    else if (name === "event") event.type = value;
    else if (name === "id") event.id = value;
  }
  event.data = data.join("\n");
  return data.length ? event : null;
}

/**
 * Keeps a stream open while the page is visible. A hidden page lets go of its connection, because browsers allow only
 * six per server, and resumes where it stopped.
 *
 * `cursor()` tells the number of the last event seen; `onState` gets "connecting", "live", "waiting", "paused" or
 * "ended" with the error that ended it.
 */
export class EventStream {
  constructor(sessionId, { cursor, onEvent, onState }) {
    this.sessionId = sessionId;
    this.cursor = cursor;
    this.onEvent = onEvent;
    this.onState = onState;
    this.isClosed = false;
    this.attempt = 0;
    this.wake = () => {};
    this.connection = null;
    this.onVisibility = () => (document.hidden ? this.connection?.abort("hidden") : this.wake());
    this.onOnline = () => this.wake();
    document.addEventListener("visibilitychange", this.onVisibility);
    window.addEventListener("online", this.onOnline);
    this.running = this.run();
  }

  close() {
    this.isClosed = true;
    document.removeEventListener("visibilitychange", this.onVisibility);
    window.removeEventListener("online", this.onOnline);
    this.connection?.abort("closed");
    this.wake();
  }

  /** Begin anew from the cursor, for a reader that noticed a gap. */
  restart() {
    this.connection?.abort("restart");
  }

  async run() {
    while (!this.isClosed) {
      if (document.hidden) {
        this.onState("paused");
        await this.pause(Infinity);
        continue;
      }
      this.onState("connecting");
      try {
        await this.connect();
      } catch (error) {
        if (this.isClosed) return;
        if (error instanceof ApiError && !error.isTemporary && error.status < 500) {
          this.close();
          this.onState("ended", error);
          return;
        }
      }
      if (this.isClosed) return;
      const reason = this.connection.signal.reason;
      if (reason === "hidden" || reason === "restart") continue;
      this.onState("waiting");
      await this.pause(Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.attempt) * (0.5 + Math.random() / 2));
      this.attempt += 1;
    }
  }

  pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = milliseconds === Infinity ? 0 : setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async connect() {
    this.connection = new AbortController();
    const { signal } = this.connection;
    let watchdog = 0;
    const listen = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => this.connection.abort("silence"), SILENCE);
    };
    listen();
    try {
      const after = this.cursor();
      const response = await fetch(address(eventsPath(this.sessionId, after)), {
        credentials: "same-origin",
        cache: "no-store",
        headers: { Accept: "text/event-stream", "Last-Event-ID": String(after) },
        signal,
      });
      if (!response.ok) throw await problemOf(response);
      this.attempt = 0;
      this.onState("live");
      const parser = new EventParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        listen();
        for (const event of parser.push(value)) {
          if (signal.aborted) return;
          this.onEvent(JSON.parse(event.data));
        }
      }
    } finally {
      clearTimeout(watchdog);
    }
  }
}
