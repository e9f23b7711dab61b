/** Calls one after another: starts one, ends it, and calls again when the connection is lost. */

import { Call } from "./call.js";
import { Levels, openMicrophone } from "./sound.js";

// ms before each try to call again. The first is at once: most often a relay or a transceiver was
// started again, or the network has changed.
const WAITS = [0, 1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000, 8000];

export class Phone {
  state = "idle"; // idle, connecting, connected, reconnecting, ended, failed
  trouble = null;
  call = null;
  microphone = null;
  levels = null;
  setup = {}; // ms since this call was begun, by step
  again = false; // whether this call takes the place of one that was lost
  #resume = ""; // the token of the last call that was answered
  #round = 0; // counts what was started and stopped, so that what comes late is known
  #began = 0;
  #tries = 0;
  #timer = 0;
  #wake = null;

  /**
   * @param {object} on What is called: state(text), step(name), stream(MediaStream), open(),
   *   message(data), note(text), facts(facts), lost().
   */
  constructor(on) {
    this.on = on;
  }

  get busy() {
    return ["connecting", "connected", "reconnecting"].includes(this.state);
  }

  async start(model) {
    if (this.busy) return;
    const round = ++this.#round;
    this.model = model;
    this.again = false;
    this.#resume = "";
    this.#tries = 0;
    this.#begin();
    this.#show("connecting", "Asking for the microphone");
    try {
      const microphone = await openMicrophone();
      if (round !== this.#round) return stopTracks(microphone);
      this.microphone = microphone;
    } catch (error) {
      if (round === this.#round) this.#end("failed", "No call", error);
      return;
    }
    this.#step("microphone");
    this.levels = new Levels();
    this.levels.measure("spoken", this.microphone);
    this.#show("connecting", "Calling");
    this.#dial();
  }

  stop() {
    if (this.busy) this.#end("ended", "The call has ended");
  }

  /** Send an event to the other side; false where that is not possible. */
  send(text) {
    return this.call?.send(text) ?? false;
  }

  #begin() {
    this.setup = {};
    this.trouble = this.call = null;
    this.#began = performance.now();
  }

  #dial() {
    const round = this.#round;
    const current = (action) => (...values) => {
      if (round === this.#round) action(...values);
    };
    const on = {
      step: current((name) => this.#step(name)),
      stream: current((stream) => {
        this.levels.measure("heard", stream);
        this.on.stream(stream);
      }),
      open: current(() => this.on.open()),
      message: current((data) => this.on.message(data)),
      note: current((text) => this.on.note(text)),
      facts: current((facts) => this.on.facts(facts)),
      failed: current((error) => this.#failed(error)),
    };
    try {
      this.call = new Call(this.microphone, this.model, this.#resume, on);
    } catch (error) { // such as of a browser that has as many connections as it allows
      this.#end("failed", "No call", error);
      return;
    }
    this.call.connect();
  }

  #step(name) {
    if (name in this.setup) return;
    this.setup[name] = Math.round(performance.now() - this.#began);
    if (name === "answer") {
      this.#resume = this.call.resume;
      this.#show(this.state, "Connecting to the relay");
    }
    if (name === "connected") {
      this.#tries = 0;
      this.#show("connected", "Connected");
    }
    this.on.step(name);
  }

  #failed(error) {
    const again = error.passing && (this.state === "reconnecting" || error.kind === "lost");
    if (!again || this.#tries >= WAITS.length) {
      this.#end("failed", "No call", error);
      return;
    }
    if (this.state === "connected") this.on.lost();
    this.again = true;
    const round = ++this.#round; // what the lost call still says is of no interest
    const wait = Math.max(WAITS[this.#tries++], error.retryAfter * 1000);
    this.#show("reconnecting", "The connection was lost; calling again");
    const dial = () => {
      if (round !== this.#round) return;
      this.#sleepNoMore();
      this.#begin();
      this.setup.microphone = 0; // it is open still
      this.#dial();
    };
    this.#timer = setTimeout(dial, wait);
    this.#wake = dial;
    window.addEventListener("online", dial);
  }

  #sleepNoMore() {
    clearTimeout(this.#timer);
    if (this.#wake) window.removeEventListener("online", this.#wake);
    this.#wake = null;
  }

  #end(state, text, trouble = null) {
    ++this.#round;
    this.#sleepNoMore();
    this.call?.close();
    stopTracks(this.microphone);
    this.levels?.close();
    this.microphone = this.levels = null;
    this.trouble = trouble;
    this.#show(state, text);
  }

  #show(state, text) {
    this.state = state;
    this.on.state(text);
  }
}

function stopTracks(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}
