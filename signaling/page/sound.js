/** The microphone, and how loud things are. */

import { insecure, microphone, switchedOff } from "./trouble.js";

export async function openMicrophone() {
  if (!window.isSecureContext) throw insecure(location.origin);
  // Nobody is asked for a microphone that no call can use.
  if (!navigator.mediaDevices || !window.RTCPeerConnection) throw switchedOff();
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
  } catch (error) {
    throw microphone(error);
  }
}

/**
 * Measures streams while it is open. A call needs no meters: where the browser has no Web Audio, or
 * does not take a stream, they stand still.
 */
export class Levels {
  #context = openContext();
  #meters = new Map();

  /** Measure a stream, in place of what was measured by this name. */
  measure(name, stream) {
    this.#meters.get(name)?.source.disconnect();
    this.#meters.delete(name);
    if (!this.#context) return;
    try {
      const analyser = this.#context.createAnalyser();
      const source = this.#context.createMediaStreamSource(stream);
      source.connect(analyser);
      this.#meters.set(name, { source, analyser, samples: new Float32Array(analyser.fftSize) });
    } catch { /* it is heard all the same */ }
  }

  /** From 0 (-60 dBFS and less) to 1 (0 dBFS). */
  level(name) {
    const meter = this.#meters.get(name);
    if (!meter) return 0;
    meter.analyser.getFloatTimeDomainData(meter.samples);
    const power = meter.samples.reduce((sum, x) => sum + x * x, 0) / meter.samples.length;
    return Math.min(1, Math.max(0, 1 + Math.log10(power + 1e-9) / 6));
  }

  close() {
    this.#meters.clear();
    this.#context?.close();
  }
}

function openContext() {
  try { return new AudioContext(); } catch { return null; }
}
