/** What a connection's statistics say, as numbers and in words. Pure. */

/** The steps of a set-up, in their order. */
export const STEPS = {
  microphone: "Microphone allowed",
  offer: "Offer made",
  answer: "Server answered",
  check: "First check answered",
  connected: "Encrypted and connected",
  audio: "First sound",
};

// One way 150 ms is good and 400 ms the limit (ITU-T G.114); a round trip is two of them.
const SLOW = 0.3;
const TOO_SLOW = 0.8;
const HEARD = 0.01; // the share of sound that may be filled in before one hears it
const DISTURBING = 0.05;

/** @param {RTCStatsReport} report */
export function readFacts(report) {
  const all = [...report.values()];
  const find = (type) => all.find((each) => each.type === type && (each.kind ?? "audio") === "audio");
  const pair = report.get(find("transport")?.selectedCandidatePairId) ??
    all.find((each) => each.type === "candidate-pair" && each.nominated && each.state === "succeeded"); // Firefox
  const remote = report.get(pair?.remoteCandidateId);
  const inbound = find("inbound-rtp");
  const outbound = find("outbound-rtp");
  const there = find("remote-inbound-rtp");
  return {
    remote: remote ? { address: remote.address, port: remote.port, protocol: remote.protocol, type: remote.candidateType } : null,
    roundTrip: pair?.currentRoundTripTime ?? there?.roundTripTime ?? null, // seconds
    sent: outbound?.packetsSent ?? 0,
    received: inbound?.packetsReceived ?? 0,
    lost: Math.max(0, inbound?.packetsLost ?? 0),
    lostThere: there ? Math.max(0, there.packetsLost) : null,
    energy: inbound?.totalAudioEnergy ?? 0,
    played: inbound?.totalSamplesReceived ?? 0,
    // Samples that were made up, silence left out.
    filled: Math.max(0, (inbound?.concealedSamples ?? 0) - (inbound?.silentConcealedSamples ?? 0)),
    jitter: inbound?.jitter ?? null, // seconds
    held: inbound?.jitterBufferEmittedCount ? inbound.jitterBufferDelay / inbound.jitterBufferEmittedCount : null, // seconds
    // Grows with whatever comes in; null where the browser does not count answers to checks, which
    // may be all that comes while the other side is silent.
    news: pair?.responsesReceived === undefined ? null : pair.bytesReceived + pair.responsesReceived,
  };
}

/** The facts in words, by the id of where they are shown. */
export function inWords(facts) {
  const { remote } = facts;
  return {
    remote: remote ? `${transportAddress(remote.address, remote.port)} over ${remote.protocol.toUpperCase()}` : "–",
    rtt: milliseconds(facts.roundTrip),
    lost: share(facts.lost, facts.lost + facts.received),
    "lost-there": facts.lostThere === null ? "–" : share(facts.lostThere, facts.sent),
    concealed: facts.played ? percent(facts.filled / facts.played) : "–",
    jitter: facts.jitter === null ? "–" : `${milliseconds(facts.jitter)}, ${milliseconds(facts.held)}`,
    packets: `${facts.sent} / ${facts.received}`,
  };
}

/** One sentence on how good a call was between two sets of facts. */
export function verdict(before, facts) {
  const received = facts.received - before.received;
  if (received <= 0 || facts.roundTrip === null) return "Connected; nothing is heard now.";
  const lost = Math.max(0, facts.lost - before.lost);
  const loss = lost / (lost + received);
  const played = facts.played - before.played;
  const filled = played > 0 ? (facts.filled - before.filled) / played : 0;
  const worst = Math.max(loss / 4, filled); // what is lost can mostly be mended
  const troubles = [];
  if (facts.roundTrip > SLOW) troubles.push(`answers take ${milliseconds(facts.roundTrip)} longer because of the way`);
  if (worst > HEARD) troubles.push("parts of the sound are missing");
  if (!troubles.length) return `Good: ${milliseconds(facts.roundTrip)} there and back, ${loss ? `${percent(loss)} lost` : "nothing lost"}.`;
  return `${facts.roundTrip > TOO_SLOW || worst > DISTURBING ? "Poor" : "Fair"}: ${troubles.join(", and ")}.`;
}

const FORWARDERS = {
  xdp: "In the kernel (XDP)",
  userspace: "In a process (userspace)",
};

/**
 * What forwards the packets at a relay, in words.
 * @param {{address: string, port: number, protocol: string} | null} remote
 * @param {{udp: string[], tcp: string[], dataplane: string | null}[]} relays
 */
export function forwarder(remote, relays) {
  if (!remote) return "–";
  const address = transportAddress(remote.address, remote.port);
  const relay = relays.find(({ udp, tcp }) => [...udp, ...tcp].includes(address));
  // The kernel has no TCP connections of clients.
  if (relay && remote.protocol === "tcp") return FORWARDERS.userspace;
  return FORWARDERS[relay?.dataplane] ?? "–";
}

export function transportAddress(host, port) {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The addresses of an answer's candidates, which each of its sections has. */
export function candidates(sdp) {
  const lines = sdp.matchAll(/^a=candidate:\S+ \d+ \S+ \d+ (\S+) (\d+)/gm);
  return [...new Set([...lines].map(([, host, port]) => transportAddress(host, port)))];
}

function milliseconds(value) {
  if (value === null) return "–";
  const ms = value * 1000;
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

function share(part, whole) {
  return part ? `${part} packets, ${percent(part / whole)}` : "none";
}

function percent(value) {
  return `${(value * 100).toFixed(1)} %`;
}
