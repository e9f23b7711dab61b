// What each package is taken through, whatever it is and whatever carries it. A client has
//
//   events        what the server has sent, in its order
//   errors        what the package told of as an error
//   called        what its tool was called with
//   interrupted   how often the package, or who uses it, stopped the player
//   write(text)   asks something by text
//   speak(on)     plays the recorded speech over and over, or is silent
//   sound()       how much sound has come: bytes, or energy

const LIMIT = 60_000; // milliseconds
const EACH = 25; // milliseconds between two looks

// What the recorded speech asks for, and what is answered. The second answer is long: while it is said,
// the recorded speech goes on and interrupts it.
const SPOKEN = { "what time is it": /^It is \d/, "what can you do": /^You can / };

async function until(look, what) {
  const deadline = Date.now() + LIMIT;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`no ${what} within ${LIMIT} ms`);
    await new Promise((resolve) => setTimeout(resolve, EACH));
  }
}

const texts = (item) => (item.content ?? []).map((part) => part.transcript ?? part.text ?? "");
const said = ({ response }) => (response.output ?? []).flatMap(texts).join(" ");

/** What has happened since it was made. */
class Since {
  constructor(client) {
    this.client = client;
    this.first = client.events.length;
  }

  of(type) {
    return this.client.events.slice(this.first).filter((event) => event.type === type);
  }

  answer(pattern) {
    const found = () => this.of("response.done").map(said).find((text) => pattern.test(text));
    return until(found, `answer ${pattern}`);
  }

  /** Over WebRTC the server says when all has been played. */
  async played() {
    const count = (type) => this.of(`output_audio_buffer.${type}`).length;
    await until(() => count("started") <= count("stopped") + count("cleared"), "end of the sound");
  }
}

/** Whether the sound of an item's response was thrown away, which may be told before anybody looks. */
function clearedOf(client, id) {
  const added = client.events.find(({ type, item }) => type === "response.output_item.added" && item.id === id);
  return client.events.some(
    ({ type, response_id }) => type === "output_audio_buffer.cleared" && response_id === added.response_id,
  );
}

const SCENARIOS = {
  async text(client, since) {
    client.write("what is seven times six?");
    const answer = await since.answer(/42/);
    await until(() => client.sound(), "sound");
    await since.played();
    return { answer };
  },

  async function_call(client, since) {
    client.write("what is the weather in Paris?");
    const answer = await since.answer(/sunny/);
    await since.played();
    return { answer, called: [...client.called] };
  },

  async spoken(client, since) {
    client.speak(true);
    const completed = "conversation.item.input_audio_transcription.completed";
    const known = ({ transcript }) => transcript in SPOKEN;
    const { transcript } = await until(() => since.of(completed).find(known), "known question");
    return { heard: transcript, answer: await since.answer(SPOKEN[transcript]) };
  },

  async barge_in(client, since) {
    const truncated = () => since.of("conversation.item.truncated")[0];
    const { item_id, audio_end_ms } = await until(truncated, "truncated item");
    const later = new Since(client);
    const cleared = clearedOf(client, item_id);
    const next = await later.answer(/./);
    client.speak(false);
    return { item_id, audio_end_ms, cleared, next, interrupted: client.interrupted };
  },
};

/** Take a client through all: each scenario's outcome, or its error, and what was sent. */
export async function all(client) {
  const seen = { scenarios: {} };
  try {
    await client.connect();
    for (const [name, scenario] of Object.entries(SCENARIOS)) {
      const outcome = scenario(client, new Since(client));
      seen.scenarios[name] = await outcome.catch((error) => ({ error: String(error) }));
    }
    seen.history = client.history?.();
  } catch (error) {
    seen.error = `${error.stack ?? error}`;
  }
  seen.errors = client.errors;
  seen.events = client.events.map(({ delta, ...event }) => event);
  client.close();
  return seen;
}
