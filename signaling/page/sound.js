/** The microphone, and how loud things are. */

import { insecure, microphone } from "./trouble.js";

export async function openMicrophone() {
  if (!window.isSecureContext || !navigator.mediaDevices) throw insecure(location.origin);
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
  } catch (error) {
    throw microphone(error);
  }
}

/** Measures streams while it is open. */
export class Levels {
  #context = new AudioContext();
  #meters = new Map();

  /** Measure a stream, in place of what was measured by this name. */
  measure(name, stream) {
    this.#meters.get(name)?.source.disconnect();
    const analyser = this.#context.createAnalyser();
    const source = this.#context.createMediaStreamSource(stream);
    source.connect(analyser);
    this.#meters.set(name, { source, analyser, samples: new Float32Array(analyser.fftSize) });
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
    this.#context.close();
  }
}
