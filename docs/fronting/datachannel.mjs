// A server with node-datachannel behind an Icelane relay: it sends back what it is sent.
//
//   node datachannel.mjs keys.toml 203.0.113.10:3478 192.0.2.3:5000 198.51.100.2:8082
//
// The arguments are the key file, where clients reach the relay, where the relay reaches this server
// (its address in the registry), and where clients post an SDP offer. They delete what Location names.
import { readFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import nodeDataChannel from "node-datachannel";
import { Keys, answer, newUfrag, offer } from "./icelane.mjs";

const [keyFile, vip, media, web] = process.argv.slice(2);
const keys = new Keys(readFileSync(keyFile, "utf-8"));
const target = { cluster: 1, slot: 2, generation: 1 };
const [, mediaHost, mediaPort] = /^\[?(.*?)\]?:(\d+)$/.exec(media);
const [, webHost, webPort] = /^\[?(.*?)\]?:(\d+)$/.exec(web);
const calls = new Map(); // by ufrag

const RTCP = (packet) => packet[1] >= 192 && packet[1] < 224; // RFC 5761, section 4

/** Makes a call of an offer; its ufrag is the route to this server. */
function call(sdp) {
  const ufrag = newUfrag(target, keys, 4 * 3600);
  const peer = new nodeDataChannel.PeerConnection(ufrag, {
    iceServers: [],
    bindAddress: mediaHost, // one socket for all calls, at the address that the registry has
    enableIceUdpMux: true,
    portRangeBegin: Number(mediaPort),
    portRangeEnd: Number(mediaPort),
    disableAutoNegotiation: true,
  });
  calls.set(ufrag, peer);
  const open = []; // what nobody refers to is collected
  peer.onDataChannel((channel) => {
    open.push(channel);
    channel.onMessage((message) => channel.sendMessage(String(message)));
  });
  peer.onTrack((track) => {
    open.push(track);
    track.onMessage((packet) => RTCP(packet) || track.sendMessageBinary(packet));
  });
  peer.onStateChange((state) => {
    if (state === "connected") console.log("connected:", peer.getSelectedCandidatePair()?.remote.address);
    if (state === "failed" || state === "closed") end(ufrag);
  });
  return new Promise((resolve) => {
    peer.onGatheringStateChange(
      (state) => state === "complete" && resolve([ufrag, answer(peer.localDescription().sdp, vip)]),
    );
    peer.setRemoteDescription(offer(sdp), "offer");
    peer.setLocalDescription("answer", { iceUfrag: ufrag, icePwd: randomBytes(16).toString("hex") });
  });
}

function end(ufrag) {
  const peer = calls.get(ufrag);
  calls.delete(ufrag);
  peer?.close();
}

const server = createServer(async (request, response) => {
  if (request.method === "DELETE") {
    end(new URL(request.url, "http://server").searchParams.get("call")?.replaceAll(" ", "+"));
    return response.writeHead(204).end();
  }
  const body = [];
  for await (const piece of request) body.push(piece);
  try {
    const [ufrag, sdp] = await call(Buffer.concat(body).toString());
    response.writeHead(201, { "Content-Type": "application/sdp", Location: `/?call=${ufrag}` }).end(sdp);
  } catch (error) {
    response.writeHead(400).end(String(error));
  }
});
server.listen(Number(webPort), webHost, () => console.log("ready: post offers to", web));
