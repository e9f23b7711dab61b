// @openai/agents-realtime, as its documentation uses it.
import { RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime";

export class AgentsClient {
  /**
   * @param transport The package's own, with our URL.
   * @param apiKey A client secret, or an API key.
   * @param microphone Plays the recorded speech, and knows what sound has come.
   */
  constructor(transport, apiKey, microphone) {
    this.events = [];
    this.errors = [];
    this.called = [];
    this.interrupted = 0;
    this.apiKey = apiKey;
    this.microphone = microphone;
    const weather = tool({
      name: "get_weather",
      description: "The weather in a city",
      strict: false,
      parameters: {
        type: "object",
        properties: { city: { type: "string" } },
        required: ["city"],
        additionalProperties: true,
      },
      execute: async (input) => {
        this.called.push(input);
        return "It is sunny, with 18 degrees.";
      },
    });
    const agent = new RealtimeAgent({ name: "Guide", instructions: "Be brief.", tools: [weather] });
    this.session = new RealtimeSession(agent, { transport });
    this.session.on("transport_event", (event) => this.events.push(event));
    this.session.on("audio", ({ data }) => microphone.heard(data.byteLength)); // over WebSocket only
    this.session.on("audio_interrupted", () => (this.interrupted += 1));
    this.session.on("error", ({ error }) => this.errors.push(JSON.stringify(error)));
  }

  async connect() {
    await this.session.connect({ apiKey: this.apiKey });
    this.speak(false);
  }

  write(text) {
    this.session.sendMessage(text);
  }

  speak(on) {
    this.microphone.speak(on, this.session);
  }

  sound() {
    return this.microphone.sound(this.session.transport.connectionState.peerConnection);
  }

  history() {
    return this.session.history;
  }

  close() {
    this.microphone.speak(false, this.session);
    this.session.close();
  }
}
