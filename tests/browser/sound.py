"""What a page plays: its loudest frequencies, or a recording."""

import base64
import io
from typing import Final

import av
import numpy as np
from playwright.sync_api import Page

RATE_HZ: Final = 48_000
ENVELOPE_HZ: Final = 50

# The loudest frequency of each moment with sound.
LISTEN: Final = """async ({seconds, quietest}) => {
  const stream = document.querySelector("audio").srcObject;
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, {fftSize: 4096, smoothingTimeConstant: 0});
  context.createMediaStreamSource(stream).connect(analyser);
  const bins = new Float32Array(analyser.frequencyBinCount);
  const heard = [];
  const until = performance.now() + seconds * 1000;
  while (performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 40));
    analyser.getFloatFrequencyData(bins);
    const loudest = bins.reduce((best, value, index) => (value > bins[best] ? index : best), 0);
    if (bins[loudest] > quietest) heard.push(loudest * context.sampleRate / 4096);
  }
  await context.close();
  return heard;
}"""

RECORD: Final = """async (seconds) => {
  const recorder = new MediaRecorder(document.querySelector("audio").srcObject);
  const parts = [];
  recorder.ondataavailable = ({data}) => parts.push(data);
  const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.start();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  recorder.stop();
  await stopped;
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}"""


def listen(page: Page, seconds: float, *, quietest_db: float = -60) -> list[float]:
    """Return the loudest frequency of each moment in which the page plays something."""
    heard: list[float] = page.evaluate(LISTEN, {"seconds": seconds, "quietest": quietest_db})
    return heard


def record(page: Page, seconds: float) -> np.ndarray:
    """Return what the page plays in the next seconds, mono, at 48 kHz."""
    file = io.BytesIO(base64.b64decode(page.evaluate(RECORD, seconds)))
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    with av.open(file) as container:
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def envelope(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return how loud it is, fifty times a second."""
    step = rate_hz // ENVELOPE_HZ
    blocks = samples[: len(samples) // step * step].reshape(-1, step)
    loudness: np.ndarray = np.sqrt(np.mean(blocks.astype(float) ** 2, axis=1))
    return loudness


def likeness(part: np.ndarray, whole: np.ndarray) -> float:
    """Return how well the best place in `whole` resembles `part`: 1 is the same, 0 unrelated."""
    part = part - part.mean()
    best = 0.0
    for start in range(len(whole) - len(part) + 1):
        piece = whole[start : start + len(part)]
        piece = piece - piece.mean()
        scale = np.linalg.norm(part) * np.linalg.norm(piece)
        if scale > 0:
            best = max(best, float(part @ piece / scale))
    return best
