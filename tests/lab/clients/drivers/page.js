// What a browser's page does; it keeps its events until the program asks for them.
"use strict";
const CHANNELS = ["oai-events", "echo"];
const client = (window.client = { events: [], energy: 0, reached: new Set() });

function now() {
  return performance.timeOrigin + performance.now();
}

function emit(event, content = {}) {
  client.events.push({ event, at: now(), ...content });
}

function reach(step, reached) {
  if (!reached || client.reached.has(step)) return;
  client.reached.add(step);
  emit("connected", { step });
}

// The stream of the events channel that both sides make; null where a message opens it.
client.start = async (stream) => {
  // As they are: the tones would be taken for noise or for an echo.
  const constraints = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: constraints });
  const pc = (client.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" }));
  const track = microphone.getAudioTracks()[0];
  client.sender = pc.addTrack(track, microphone);
  pc.ontrack = ({ streams }) => {
    client.audio = new Audio(); // a stream that nobody plays is not decoded
    client.audio.srcObject = streams[0];
    client.audio.play();
  };
  pc.oniceconnectionstatechange = () => reach("ice", /connected|completed/.test(pc.iceConnectionState));
  pc.onconnectionstatechange = () => {
    reach("dtls", pc.connectionState === "connected");
    if (pc.connectionState === "failed") emit("error", { text: "the connection failed" });
  };
  const given = stream === null ? {} : { [CHANNELS[0]]: { negotiated: true, id: stream } };
  const make = (name) => [name, pc.createDataChannel(name, given[name])];
  client.channels = Object.fromEntries(CHANNELS.map(make));
  for (const [name, channel] of Object.entries(client.channels)) {
    channel.onopen = () => emit("open", { channel: name });
    channel.onmessage = ({ data }) => emit("message", { channel: name, text: data });
  }
  await client.offer();
};

client.offer = async () => {
  const { pc } = client;
  await pc.setLocalDescription();
  const transport = client.sender.transport;
  if (transport) transport.onstatechange = () => reach("dtls", transport.state === "connected");
  while (pc.iceGatheringState !== "complete") {
    await new Promise((done) => pc.addEventListener("icegatheringstatechange", done, { once: true }));
  }
  emit("offer", { sdp: pc.localDescription.sdp });
};

client.stats = async () => {
  let packets = 0, energy = 0;
  for (const each of (await client.pc.getStats()).values()) {
    if (each.type !== "inbound-rtp" || each.kind !== "audio") continue;
    packets += each.packetsReceived;
    energy += each.totalAudioEnergy;
  }
  emit("stats", { packets, energy: energy - client.energy });
  client.energy = energy;
};

client.obey = async (command) => {
  switch (command.command) {
    case "answer":
      return client.pc.setRemoteDescription({ type: "answer", sdp: command.sdp });
    case "restart":
      client.pc.restartIce();
      return client.offer();
    case "send":
      return client.channels[command.channel].send(command.text);
    case "stats":
      return client.stats();
  }
};

client.run = (work) => work.catch((error) => emit("error", { text: String(error) }));
