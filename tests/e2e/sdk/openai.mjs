// The official package, which leaves to its users what comes and goes: this is what a user writes.

const TOOL = {
  type: "function",
  name: "get_weather",
  description: "The weather in a city",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

export class OpenAIClient {
  /**
   * @param connection Of one of the package's kinds.
   * @param open Opens it, so that events may be sent.
   * @param microphone Plays the recorded speech.
   */
  constructor(connection, open, microphone) {
    this.events = [];
    this.errors = [];
    this.called = [];
    this.interrupted = 0;
    this.connection = connection;
    this.open = open;
    this.microphone = microphone;
    this.player = { item: null, started: 0 };
  }

  async connect() {
    const audio = { input: { transcription: { model: "gpt-4o-mini-transcribe" } } };
    const session = { type: "realtime", instructions: "Be brief.", tools: [TOOL], audio };
    await this.open();
    this.connection.send({ type: "session.update", session });
    this.speak(false);
  }

  take(event) {
    this.events.push(event);
    switch (event.type) {
      case "response.function_call_arguments.done":
        this.called.push(JSON.parse(event.arguments));
        this.output = { type: "function_call_output", call_id: event.call_id };
        this.output.output = "It is sunny, with 18 degrees.";
        break;
      case "response.done":
        if (this.output) {
          this.connection.send({ type: "conversation.item.create", item: this.output });
          this.connection.send({ type: "response.create" });
          this.output = null;
        }
        break;
      case "response.output_audio.delta": // over WebSocket only
        this.microphone.heard(event.delta.length);
        if (this.player.item !== event.item_id) {
          this.player = { item: event.item_id, started: Date.now() };
        }
        break;
      case "output_audio_buffer.cleared": // over WebRTC only
        this.interrupted += 1;
        break;
      case "input_audio_buffer.speech_started":
        this.stopPlayer();
        break;
    }
  }

  /** What a player does that is interrupted: it says how much of the item was heard. */
  stopPlayer() {
    const { item, started } = this.player;
    if (!item) return;
    this.player.item = null;
    this.interrupted += 1;
    this.connection.send({
      type: "conversation.item.truncate",
      item_id: item,
      content_index: 0,
      audio_end_ms: Math.min(Date.now() - started, 500),
    });
  }

  write(text) {
    const content = [{ type: "input_text", text }];
    const item = { type: "message", role: "user", content };
    this.connection.send({ type: "conversation.item.create", item });
    this.connection.send({ type: "response.create" });
  }

  speak(on) {
    this.microphone.speak(on, this);
  }

  sound() {
    return this.microphone.sound(this.connection.peerConnection);
  }

  /** For `Feed`, as a session of the other package has it. */
  sendAudio(sound) {
    const audio = Buffer.from(sound).toString("base64");
    this.connection.send({ type: "input_audio_buffer.append", audio });
  }

  close() {
    this.microphone.speak(false, this);
    this.connection.close();
  }
}
