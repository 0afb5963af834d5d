// Loudness of a track, as a number between 0 (silence) and 1 (as loud as speech gets).

const FLOOR_DB = -60;
const CEILING_DB = -10;
const WINDOW_SAMPLES = 1024;

export class Meter {
  #source;
  #analyser;
  #samples = new Float32Array(WINDOW_SAMPLES);

  constructor(context, track) {
    this.#source = context.createMediaStreamSource(new MediaStream([track]));
    this.#analyser = new AnalyserNode(context, { fftSize: WINDOW_SAMPLES });
    this.#source.connect(this.#analyser);
  }

  level() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    return loudness(this.#samples);
  }

  close() {
    this.#source.disconnect();
  }
}

/** Pure. */
export function loudness(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.min(1, Math.max(0, (db - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
}
