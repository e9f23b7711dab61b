/** Who speaks when: the events that this side sends. */

const TAIL = 200; // ms: the end of a word is still on its way when the button is let go
const SHORTEST = 300; // ms of a press that says something
const TRANSCRIBER = "gpt-4o-mini-transcribe"; // back ends with one recogniser take any name
const ASKED = "page_transcription";
const TOLD = "page_history";
const ANSWERING = "conversation_already_has_active_response";

/** An id for an item; not every page has randomUUID, which needs HTTPS or localhost. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  return `item_${Array.from(bytes, (each) => each.toString(16).padStart(2, "0")).join("")}`;
}

export class Turns {
  hold = false; // whether the button says when a turn begins and ends
  muted = false;
  held = false;
  #pressed = 0;
  #timer = 0;
  #wanted = false; // a response is to be made when the running one has ended

  /**
   * @param {import("./conversation.js").Conversation} conversation
   * @param {{send: (event: object) => boolean, microphone: () => MediaStream | null, hint: (text: string) => void}} way
   */
  constructor(conversation, way) {
    this.conversation = conversation;
    this.way = way;
  }

  /** A channel has opened. */
  begin() {
    this.#wanted = this.held = false;
    this.apply();
    if (this.hold) this.#detect(null);
  }

  /** Choose who says when a turn ends, also in a call. */
  choose(hold) {
    if (this.hold === hold) return;
    this.hold = hold;
    this.held = false;
    this.apply();
    this.#detect(hold ? null : { type: "server_vad" });
  }

  take(event) {
    if (event.type === "session.created") this.#created(event.session);
    if (event.type === "response.done" && this.#wanted) {
      this.#wanted = false;
      this.way.send({ type: "response.create" });
    }
    // The back end has begun to answer what it heard while this side asked for an answer.
    if (event.type === "error" && event.error?.code === ANSWERING) {
      this.#wanted = true;
      this.way.send({ type: "response.cancel" });
    }
  }

  /** Whether an error is none of the user's: this side asked without being asked to, or asks again. */
  isOwn(event) {
    if (event.type !== "error") return false;
    return event.error?.code === ANSWERING || [ASKED, TOLD].includes(event.error?.event_id);
  }

  mute(muted) {
    this.muted = muted;
    this.apply();
  }

  press() {
    if (!this.hold || this.held) return;
    clearTimeout(this.#timer);
    this.held = true;
    this.#pressed = performance.now();
    this.interrupt();
    this.way.send({ type: "input_audio_buffer.clear" });
    this.apply();
  }

  release() {
    if (!this.held) return;
    this.held = false;
    const long = performance.now() - this.#pressed;
    this.#timer = setTimeout(() => {
      this.apply();
      if (long < SHORTEST) {
        this.way.hint("Hold the button while you speak.");
        return;
      }
      if (this.way.send({ type: "input_audio_buffer.commit" })) this.#respond();
    }, TAIL);
  }

  write(text) {
    this.interrupt();
    const id = newId();
    const item = { id, type: "message", role: "user", content: [{ type: "input_text", text }] };
    if (!this.way.send({ type: "conversation.item.create", item })) return null;
    this.#respond();
    return id;
  }

  /** Tell another session what was said before it. */
  tell(items) {
    for (const item of items) this.way.send({ type: "conversation.item.create", event_id: TOLD, item });
  }

  /** Silence the other side. */
  interrupt() {
    if (this.conversation.responding) this.way.send({ type: "response.cancel" });
    this.way.send({ type: "output_audio_buffer.clear" }); // no error where nothing is played
  }

  apply() {
    const open = this.hold ? this.held : !this.muted;
    this.way.microphone()?.getAudioTracks().forEach((track) => { track.enabled = open; });
  }

  #respond() {
    if (this.conversation.responding) this.#wanted = true; // one at a time
    else this.way.send({ type: "response.create" });
  }

  #created(session) {
    const input = session?.audio?.input;
    if (!input) return; // a back end that takes no settings of it
    if (!this.hold && input.turn_detection === null) this.#detect({ type: "server_vad" });
    if (input.transcription === null) {
      this.#update({ transcription: { model: TRANSCRIBER } }, ASKED);
    }
  }

  #detect(detection) {
    this.#update({ turn_detection: detection });
  }

  #update(input, id) {
    this.way.send({ type: "session.update", ...(id && { event_id: id }), session: { type: "realtime", audio: { input } } });
  }
}
