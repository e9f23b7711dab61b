// node-datachannel: libdatachannel with libjuice. It has no ICE restart.
import nodeDataChannel from "node-datachannel";
import { CHANNELS, Ear, emit, rtpPayload, serve, speak } from "./interface.mjs";

const PAYLOAD_TYPE = 111, SSRC = 42;
const RTCP = (packet) => packet[1] >= 192 && packet[1] < 224; // RFC 5761, section 4

const pc = new nodeDataChannel.PeerConnection("client", { iceServers: [], disableAutoNegotiation: true });
const ear = new Ear();
const reached = new Set();
let quiet = () => {};

function reach(step) {
  if (reached.has(step)) return;
  reached.add(step);
  emit("connected", { step });
}

pc.onIceStateChange((state) => /connected|completed/.test(state) && reach("ice"));
pc.onStateChange((state) => {
  if (state === "connected") reach("dtls");
  if (state === "failed") emit("error", { text: "the connection failed" });
});
pc.onGatheringStateChange((state) => state === "complete" && emit("offer", { sdp: pc.localDescription().sdp }));

const media = new nodeDataChannel.Audio("audio", "SendRecv");
media.addOpusCodec(PAYLOAD_TYPE);
media.addSSRC(SSRC, "client", "stream", "track");
const track = pc.addTrack(media);
track.onMessage((packet) => RTCP(packet) || ear.hear(rtpPayload(packet)));
track.onOpen(() => (quiet = speak(process.argv[2], PAYLOAD_TYPE, SSRC, (packet) => track.isOpen() && track.sendMessageBinary(packet))));

const channels = Object.fromEntries(CHANNELS.map((name) => [name, pc.createDataChannel(name)]));
for (const [name, channel] of Object.entries(channels)) {
  channel.onOpen(() => emit("open", { channel: name }));
  channel.onMessage((text) => emit("message", { channel: name, text: String(text) }));
}
pc.setLocalDescription("offer");

await serve(
  (command) => {
    switch (command.command) {
      case "answer": return pc.setRemoteDescription(command.sdp, "answer");
      case "send": return channels[command.channel].sendMessage(command.text);
      case "stats": return ear.tell();
      default: return emit("unsupported", { text: `libdatachannel has no ${command.command}` });
    }
  },
  () => {
    quiet();
    pc.close();
  },
);
