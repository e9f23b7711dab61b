/** One call: from an offer to its end. It places no other one; see phone.js. */

import { candidates, readFacts } from "./facts.js";
import { hangUp, place } from "./server.js";
import { lost, microphoneGone, noPath, unusableAnswer } from "./trouble.js";

const LABEL = "oai-events";
const ICE_LIMIT = 15000; // ms from the answer until a call that has not connected is given up
const LOOK = 500; // ms between two looks at the statistics
const FIRST_SOUND = 50; // ms between two looks whether sound comes
const DISCONNECTED = 1000; // ms after which a browser's word that nobody answers is believed
// ms without any packet. In silence, too, there are feedback and answers to checks, at most 2.5 s apart.
const SILENT = 3000;

export class Call {
  location = null;
  resume = ""; // the token with which another call goes on
  connected = false;
  #closed = false;
  #timers = new Set();
  #abort = new AbortController();
  #advertised = [];
  #seen = { news: 0, at: 0 };

  /**
   * @param {MediaStream} microphone
   * @param {string} model The back end; empty for the server's only one.
   * @param {string} shown The token of the call whose conversation goes on; empty for a new one.
   * @param {object} on What is called: step(name), stream(MediaStream), open(), message(data),
   *   note(text), facts(facts), and once at most: failed(Trouble).
   */
  constructor(microphone, model, shown, on) {
    this.model = model;
    this.shown = shown;
    this.on = on;
    this.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" }); // no STUN server: the relay is public
    for (const track of microphone.getAudioTracks()) {
      this.pc.addTrack(track, microphone);
      track.onended = () => this.#fail(microphoneGone());
    }
    this.channel = this.pc.createDataChannel(LABEL);
    this.#listen();
  }

  async connect() {
    try {
      await this.#connect();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Send an event; false where the channel is not open. */
  send(text) {
    if (this.channel.readyState !== "open") return false;
    this.channel.send(text);
    return true;
  }

  /** @param {boolean} goesOn Whether another call goes on with the conversation. */
  close(goesOn = false) {
    if (this.#closed) return;
    this.#closed = true;
    this.#timers.forEach(clearTimeout); // ids of intervals and time-outs are of one kind
    this.#abort.abort();
    // The request leaves before the connection closes: it says that this is the end of the call.
    if (this.location) hangUp(this.location, goesOn).finally(() => this.pc.close());
    else this.pc.close();
  }

  async #connect() {
    await this.pc.setLocalDescription();
    this.on.step("offer");
    const { answer, location, resume } = await place(
      this.pc.localDescription.sdp, this.model, this.shown, this.#abort.signal);
    Object.assign(this, { location, resume });
    if (this.#closed) {
      if (location) hangUp(location);
      return;
    }
    this.on.step("answer");
    this.#advertised = candidates(answer);
    await this.pc.setRemoteDescription({ type: "answer", sdp: answer }).catch((error) => {
      throw unusableAnswer(error);
    });
    this.#after(ICE_LIMIT, () => this.connected || this.#fail(noPath(this.#advertised)));
    this.#every(LOOK, () => this.#look());
    const sound = this.#every(FIRST_SOUND, () => {
      if (!this.pc.getReceivers().some((each) => each.getSynchronizationSources().length)) return;
      clearInterval(sound);
      this.on.step("audio");
    });
  }

  #listen() {
    const { pc, channel } = this;
    channel.onopen = () => this.#unlessClosed(() => this.on.open());
    channel.onmessage = ({ data }) => this.#unlessClosed(() => this.on.message(data));
    channel.onclose = () => this.#unlessClosed(() => this.on.note("The data channel was closed."));
    pc.ontrack = ({ track, streams }) => this.on.stream(streams[0] ?? new MediaStream([track]));
    pc.oniceconnectionstatechange = () => {
      if (pc.iceConnectionState === "connected") this.on.step("check");
    };
    pc.onconnectionstatechange = () => this.#unlessClosed(() => this.#changed(pc.connectionState));
  }

  #changed(state) {
    if (state === "connected") {
      this.connected = true;
      this.#seen.at = performance.now();
      this.on.step("connected");
    } else if (state === "disconnected") {
      this.#after(DISCONNECTED, () => this.pc.connectionState === "disconnected" && this.#fail(lost()));
    } else if (state === "failed") {
      this.#fail(this.connected ? lost() : noPath(this.#advertised));
    }
  }

  async #look() {
    const facts = readFacts(await this.pc.getStats());
    if (this.#closed) return;
    this.on.facts(facts);
    const now = performance.now();
    if (facts.news === null || facts.news !== this.#seen.news) this.#seen = { news: facts.news, at: now };
    else if (this.connected && now - this.#seen.at > SILENT) this.#fail(lost());
  }

  #fail(error) {
    this.#unlessClosed(() => {
      this.close(error.passing === true);
      this.on.failed(error);
    });
  }

  #unlessClosed(action) {
    if (!this.#closed) action();
  }

  // What waited for something while the call was closed starts nothing any more.
  #after(ms, action) {
    if (!this.#closed) this.#timers.add(setTimeout(action, ms));
  }

  #every(ms, action) {
    if (this.#closed) return undefined;
    const timer = setInterval(action, ms);
    this.#timers.add(timer);
    return timer;
  }
}
