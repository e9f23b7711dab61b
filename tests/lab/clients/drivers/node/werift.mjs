// werift, WebRTC in TypeScript.
import { MediaStreamTrack, RTCPeerConnection, useOPUS } from "werift";
import { CHANNELS, Ear, emit, serve, speak } from "./interface.mjs";

const SSRC = 42;
const pc = new RTCPeerConnection({ iceServers: [], bundlePolicy: "max-bundle", codecs: { audio: [useOPUS()] } });
const ear = new Ear();
const reached = new Set();
let quiet = () => {};

function reach(step) {
  if (reached.has(step)) return;
  reached.add(step);
  emit("connected", { step });
}

const voice = new MediaStreamTrack({ kind: "audio" });
const transceiver = pc.addTransceiver(voice, { direction: "sendrecv" });
pc.onTrack.subscribe((track) => track.onReceiveRtp.subscribe((packet) => ear.hear(packet.payload)));
pc.iceConnectionStateChange.subscribe((state) => /connected|completed/.test(state) && reach("ice"));
pc.connectionStateChange.subscribe((state) => {
  if (state === "failed") emit("error", { text: "the connection failed" });
  if (state !== "connected" || reached.has("dtls")) return;
  reach("dtls");
  const payloadType = transceiver.codecs[0].payloadType;
  quiet = speak(process.argv[2], payloadType, SSRC, (packet) => voice.writeRtp(packet));
});

const channels = Object.fromEntries(CHANNELS.map((name) => [name, pc.createDataChannel(name)]));
for (const [name, channel] of Object.entries(channels)) {
  channel.stateChanged.subscribe((state) => state === "open" && emit("open", { channel: name }));
  channel.onMessage.subscribe((text) => emit("message", { channel: name, text: String(text) }));
}

async function offer() {
  await pc.setLocalDescription(await pc.createOffer());
  emit("offer", { sdp: pc.localDescription.sdp });
}
await offer();

await serve(
  (command) => {
    switch (command.command) {
      case "answer": return pc.setRemoteDescription({ type: "answer", sdp: command.sdp });
      case "restart": pc.restartIce(); return offer();
      case "send": return channels[command.channel].send(command.text);
      case "stats": return ear.tell();
    }
  },
  () => {
    quiet();
    return pc.close();
  },
);
