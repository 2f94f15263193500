// What a session looks like, computed from its events. No document here: plain data in, plain data out, so that it can
// be stored when the page goes away and continued at the exact event when it comes back.

/** Turns that are not over. */
const OVER = new Set(["completed", "failed", "cancelled"]);

export class Conversation {
  constructor(sessionId, stored = null) {
    this.sessionId = sessionId;
    this.cursor = stored?.cursor ?? 0;
    this.items = stored?.items ?? []; // in the order of their first event
    this.turns = stored?.turns ?? {}; // id -> {state, model, agent, number}
    this.byKey = new Map(this.items.map((item) => [item.key, item]));
    this.changed = new Set(this.items.map((item) => item.key));
    this.needsResync = false; // set when a piece of a message is missing; whoever reads it fetches from the cursor anew
  }

  toJSON() {
    const items = this.items.filter((item) => item.kind !== "pending");
    return { cursor: this.cursor, items, turns: this.turns };
  }

  /** The turn that runs or waits now, or null. */
  get currentTurn() {
    const running = Object.entries(this.turns).filter(([, turn]) => !OVER.has(turn.state));
    return running.length ? { id: running[0][0], ...running[0][1] } : null;
  }

  get openQuestion() {
    return this.items.findLast((item) => item.kind === "question" && item.state === "open") ?? null;
  }

  /** Applies an event. An event seen before changes nothing. Returns whether it was new. */
  apply(event) {
    if (event.type === "stream.reset") {
      this.snapshot(event);
      this.cursor = Math.max(this.cursor, event.seq);
      return true;
    }
    if (event.seq && event.seq <= this.cursor) return false;
    const apply = APPLY[event.type];
    if (apply) apply.call(this, event.data, event);
    // After a gap the cursor stays, so that the missing part is sent again.
    if (event.seq && !this.needsResync) this.cursor = event.seq;
    return true;
  }

  put(key, fields) {
    let item = this.byKey.get(key);
    if (item) {
      Object.assign(item, fields);
    } else {
      item = { key, ...fields };
      this.byKey.set(key, item);
      this.items.push(item);
    }
    this.changed.add(key);
    return item;
  }

  remove(key) {
    if (!this.byKey.delete(key)) return;
    this.items = this.items.filter((item) => item.key !== key);
    this.changed.add(key);
  }

  /** Takes the keys of what changed since the last call. */
  takeChanges() {
    const changed = this.changed;
    this.changed = new Set();
    return changed;
  }

  // A message that was accepted by the server, or is on its way there, and whose turn has not begun.
  addPending(key, text) {
    return this.put(`pending:${key}`, { kind: "pending", text, state: "sending" });
  }

  accepted(key, turn) {
    const pending = this.byKey.get(`pending:${key}`);
    if (!pending) return;
    if (this.turns[turn.id]) this.remove(pending.key);
    else this.put(pending.key, { state: "queued", turnId: turn.id });
  }

  snapshot({ data, turn_id }) {
    if (!data.message_id) return;
    const item = this.message(data, turn_id);
    const text = data.text ?? "";
    this.put(item.key, { text, length: length(text) });
  }

  message(data, turnId) {
    const key = `message:${data.message_id}`;
    return (
      this.byKey.get(key) ??
      this.put(key, { kind: "assistant", turnId, text: "", length: 0, reasoning: "", agent: data.agent ?? "", state: "open" })
    );
  }

  endTurn(turnId, state, fields = {}) {
    this.turns[turnId] = { ...this.turns[turnId], state };
    for (const item of this.items) {
      if (item.turnId !== turnId) continue;
      if (item.kind === "assistant" && item.state === "open") this.put(item.key, { state: "done" });
      if (item.kind === "tool" && (item.state === "requested" || item.state === "running")) this.put(item.key, { state: "stopped" });
      if ((item.kind === "approval" || item.kind === "question") && item.state === "open") this.put(item.key, { state: "closed" });
      if (item.kind === "pending") this.remove(item.key);
    }
    if (state !== "completed") this.put(`end:${turnId}`, { kind: "end", turnId, state, ...fields });
  }
}

const APPLY = {
  "turn.started"(data, event) {
    const id = data.turn_id ?? event.turn_id;
    this.turns[id] = { state: "running", model: data.model, agent: data.agent, number: data.number };
    const text = textOf(data.input);
    const pending = this.items.filter((item) => item.kind === "pending");
    // The event is often here before the answer to the request that caused it.
    const began = pending.find((item) => item.turnId === id) ?? pending.find((item) => item.state === "sending" && item.text === text);
    if (began) this.remove(began.key);
    this.put(`user:${id}`, { kind: "user", turnId: id, text, at: event.at });
  },
  "turn.completed"(data, event) {
    this.endTurn(event.turn_id, "completed");
  },
  "turn.failed"(data, event) {
    this.endTurn(event.turn_id, "failed", { code: data.code, message: data.message, mend: data.mend, correlationId: event.correlation_id });
  },
  "turn.cancelled"(data, event) {
    this.endTurn(event.turn_id, "cancelled", { reason: data.reason ?? "" });
  },
  "agent.switched"(data, event) {
    if (this.turns[event.turn_id]) this.turns[event.turn_id].agent = data.to;
    this.put(`agent:${event.seq}`, { kind: "agent", turnId: event.turn_id, to: data.to });
  },
  "message.delta"(data, event) {
    const item = this.message(data, event.turn_id);
    if (item.state !== "open") return;
    this.changed.add(item.key);
    if (data.reasoning) item.reasoning += data.reasoning;
    if (!data.text) return;
    const offset = data.offset ?? item.length;
    if (offset > item.length && !item.hasGap) {
      item.hasGap = this.needsResync = true;
      return;
    }
    // Offsets count characters (code points), strings here count UTF-16 units.
    const fresh = offset < item.length ? Array.from(data.text).slice(item.length - offset).join("") : data.text;
    item.text += fresh;
    item.length += length(fresh);
  },
  "message.reset"(data, event) {
    Object.assign(this.message(data, event.turn_id), { text: "", length: 0, reasoning: "" });
    this.changed.add(`message:${data.message_id}`);
  },
  "message.completed"(data, event) {
    if (data.role && data.role !== "assistant") return;
    const item = this.message(data, event.turn_id);
    const text = data.text ?? "";
    this.put(item.key, { text, length: length(text), state: "done", agent: data.agent ?? item.agent });
  },
  "tool.requested"(data, event) {
    this.put(toolKey(data, event), {
      kind: "tool", turnId: event.turn_id, tool: data.tool, arguments: data.arguments, risk: data.risk, state: "requested",
    });
  },
  "tool.started"(data, event) {
    this.put(toolKey(data, event), { kind: "tool", turnId: event.turn_id, state: "running" });
  },
  "tool.completed"(data, event) {
    const { tool, content, seconds } = data;
    this.put(toolKey(data, event), { kind: "tool", turnId: event.turn_id, tool, content, seconds, state: "completed" });
  },
  "tool.failed"(data, event) {
    const { tool, content, seconds, code, message } = data;
    this.put(toolKey(data, event), { kind: "tool", turnId: event.turn_id, tool, content, seconds, code, message, state: "failed" });
  },
  "approval.requested"(data, event) {
    this.put(`approval:${data.approval_id}`, {
      kind: "approval", turnId: event.turn_id, id: data.approval_id, tool: data.tool, arguments: data.arguments,
      preview: data.preview, risk: data.risk, code: data.code, expiresAt: data.expires_at, reason: data.reason,
      offersRule: data.offers_rule === true, state: "open",
    });
    this.setState(event.turn_id, "waiting_approval");
  },
  "approval.decided"(data, event) {
    this.put(`approval:${data.approval_id}`, { kind: "approval", state: data.decision, by: data.by, remark: data.remark });
    this.setState(event.turn_id, "running");
  },
  "approval.expired"(data, event) {
    this.put(`approval:${data.approval_id}`, { kind: "approval", state: "expired", action: data.action });
    this.setState(event.turn_id, "running");
  },
  "question.asked"(data, event) {
    this.put(`question:${event.turn_id}:${data.step}`, {
      kind: "question", turnId: event.turn_id, question: data.question, options: data.options ?? [], state: "open",
    });
    this.setState(event.turn_id, "waiting_answer");
  },
  "question.answered"(data, event) {
    const open = this.items.findLast((item) => item.kind === "question" && item.turnId === event.turn_id && item.state === "open");
    if (open) this.put(open.key, { state: "answered", answer: data.answer });
    this.setState(event.turn_id, "running");
  },
};

Conversation.prototype.setState = function (turnId, state) {
  if (turnId && this.turns[turnId] && !OVER.has(this.turns[turnId].state)) this.turns[turnId].state = state;
};

function toolKey(data, event) {
  // A model's id of a call is unique only within its message.
  return `tool:${event.turn_id}:${data.tool_call_id}`;
}

function textOf(input) {
  if (typeof input === "string") return input;
  const content = input?.content ?? input?.text ?? "";
  if (typeof content === "string") return content;
  return content.map((part) => part.text ?? `[${part.type}]`).join("\n");
}

/** Characters (code points) of a text. */
function length(text) {
  let count = 0;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0xdc00 || unit > 0xdfff || index === 0 || (text.charCodeAt(index - 1) & 0xfc00) !== 0xd800) count += 1;
  }
  return count;
}
