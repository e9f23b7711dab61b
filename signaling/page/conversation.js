/**
 * What is said, from the events of the Realtime API. Pure.
 *
 * Back ends differ: some send no item.added, some the names of before the API was general, so a line
 * is made by whatever names it first.
 */

const MOST_LINES = 500;
const MOST_TEXT = 20000; // characters of a line
const MOST_TOLD = 40; // lines, and characters of each, that a new session is told
const MOST_TOLD_TEXT = 2000;

const BETA = {
  "conversation.item.created": "conversation.item.added",
  "response.text.delta": "response.output_text.delta",
  "response.text.done": "response.output_text.done",
  "response.audio_transcript.delta": "response.output_audio_transcript.delta",
  "response.audio_transcript.done": "response.output_audio_transcript.done",
};

// Errors that say only that what was asked for is so already.
const BENIGN = ["response_cancel_not_active", "input_audio_buffer_commit_empty"];

/**
 * @typedef {object} Line
 * @property {string | null} id The item's; null where its session is over for good.
 * @property {"user" | "assistant" | "tool" | "note"} who
 * @property {string} text
 * @property {"live" | "done" | "cut"} state Whether more comes, or the rest was not heard.
 */

export class Conversation {
  /** @type {Line[]} */
  lines = [];
  responding = false; // a response is being made
  speaking = false; // a response is being played
  #notes = 0;

  /** Take an event of the server; returns the lines that have changed. */
  take(event) {
    const type = Object.hasOwn(BETA, event.type) ? BETA[event.type] : event.type;
    const handler = Object.hasOwn(HANDLERS, type) ? HANDLERS[type] : null;
    const changed = handler ? [handler.call(this, event)].flat().filter(Boolean) : [];
    for (const line of changed) line.text = line.text.slice(0, MOST_TEXT);
    return changed;
  }

  /** Something was written, and is on its way. */
  wrote(id, text) {
    return Object.assign(this.#line(id, "user"), { text, state: "done" });
  }

  /** A remark of the page's own. */
  note(text) {
    return Object.assign(this.#line(`note-${++this.#notes}`, "note"), { text, state: "done" });
  }

  clear() {
    this.lines = [];
    this.responding = this.speaking = false;
  }

  /** The call is over, or lost: nothing more comes of what was being said. */
  over() {
    this.responding = this.speaking = false;
    const open = this.lines.filter((each) => each.state === "live");
    for (const line of open) line.state = line.text ? "cut" : "done";
    return open;
  }

  /**
   * Another session has begun, which knows nothing of this one.
   * @returns {object[]} What was said, as items with which it can be told, the oldest first.
   */
  begunAnew(newId) {
    for (const line of this.lines) line.id = null; // the session may use the same ones
    const said = this.lines.filter(({ who, text }) => ["user", "assistant"].includes(who) && text.trim());
    return said.slice(-MOST_TOLD).map((line) => {
      line.id = newId();
      const type = line.who === "user" ? "input_text" : "output_text";
      return { id: line.id, type: "message", role: line.who, content: [{ type, text: line.text.trim().slice(0, MOST_TOLD_TEXT) }] };
    });
  }

  #line(id, who, after) {
    const known = this.lines.find((each) => each.id === id);
    if (known) return known;
    const line = { id, who, text: "", state: "live" };
    const at = after ? this.lines.findIndex((each) => each.id === after) : -1;
    if (at < 0) this.lines.push(line);
    else this.lines.splice(at + 1, 0, line);
    if (this.lines.length > MOST_LINES) this.lines.shift();
    return line;
  }

  item({ item, previous_item_id: after }, done) {
    if (!item?.id) return null;
    if (item.type === "function_call") return this.#called(item, after);
    if (item.type === "function_call_output") return this.#returned(item, after);
    if (item.type !== "message" || item.role === "system") return null;
    const line = this.#line(item.id, item.role === "assistant" ? "assistant" : "user", after);
    const text = (item.content ?? []).map((part) => part.transcript ?? part.text ?? "").join(" ").trim();
    if (text) line.text = text;
    // What a user said is written down later than the item is done.
    if (done && line.state === "live" && (line.who === "assistant" || text)) line.state = item.status === "incomplete" ? "cut" : "done";
    return line;
  }

  #called({ id, name, arguments: given }, after) {
    return Object.assign(this.#line(id, "tool", after), { text: `${name ?? "function"}(${given ?? ""})`, state: "done" });
  }

  #returned({ id, output }, after) {
    return Object.assign(this.#line(id, "tool", after), { text: `→ ${output ?? ""}`, state: "done" });
  }

  delta(id, who, delta) {
    if (!id || typeof delta !== "string") return null;
    const line = this.#line(id, who);
    if (line.state === "cut") return null; // late: it was interrupted
    line.text += delta;
    return line;
  }

  whole(id, who, text) {
    if (!id || typeof text !== "string") return null;
    const line = this.#line(id, who);
    if (line.state !== "cut") Object.assign(line, { text: text.trim(), state: "done" });
    return line;
  }

  heard(id) {
    return id ? this.#line(id, "user") : null;
  }

  known(id) {
    return this.lines.find((each) => each.id === id);
  }

  ended(response) {
    this.responding = false;
    const { status, status_details: details } = response ?? {};
    const cut = (response?.output ?? []).map((item) => this.known(item.id)).filter((line) => line?.who === "assistant" && status === "cancelled");
    for (const line of cut) line.state = "cut";
    if (status === "failed") return this.note(`The answer failed: ${details?.error?.message ?? "no reason was given"}`);
    if (status === "incomplete") return [...cut, this.note(`The answer ends early: ${details?.reason ?? "no reason was given"}`)];
    return cut;
  }

  error(error) {
    if (BENIGN.includes(error?.code)) return null;
    return this.note(`The back end reports: ${typeof error === "string" ? error : error?.message ?? "an error"}`);
  }
}

const HANDLERS = {
  "conversation.item.added"(event) { return this.item(event, false); },
  "conversation.item.done"(event) { return this.item(event, true); },
  "conversation.item.retrieved"(event) { return this.item(event, true); },
  "conversation.item.deleted"({ item_id: id }) { this.lines = this.lines.filter((each) => each.id !== id); },
  "conversation.item.truncated"({ item_id: id }) { return this.known(id) && Object.assign(this.known(id), { state: "cut" }); },
  "input_audio_buffer.speech_started"({ item_id: id }) { return this.heard(id); },
  "input_audio_buffer.committed"({ item_id: id }) { return this.heard(id); },
  "conversation.item.input_audio_transcription.delta"({ item_id: id, delta }) { return this.delta(id, "user", delta); },
  "conversation.item.input_audio_transcription.completed"({ item_id: id, transcript }) { return this.whole(id, "user", transcript); },
  "conversation.item.input_audio_transcription.failed"({ item_id: id }) { return this.whole(id, "user", ""); },
  "response.created"() { this.responding = true; },
  "response.output_item.added"(event) { return this.item(event, false); },
  "response.output_item.done"(event) { return this.item(event, true); },
  "response.output_text.delta"({ item_id: id, delta }) { return this.delta(id, "assistant", delta); },
  "response.output_text.done"({ item_id: id, text }) { return this.whole(id, "assistant", text); },
  "response.output_audio_transcript.delta"({ item_id: id, delta }) { return this.delta(id, "assistant", delta); },
  "response.output_audio_transcript.done"({ item_id: id, transcript }) { return this.whole(id, "assistant", transcript); },
  "response.done"({ response }) { return this.ended(response); },
  "output_audio_buffer.started"() { this.speaking = true; },
  "output_audio_buffer.stopped"() { this.speaking = false; },
  "output_audio_buffer.cleared"() { this.speaking = false; },
  error({ error }) { return this.error(error); },
};
