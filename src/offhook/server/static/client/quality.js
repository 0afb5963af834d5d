// How good the connection is: figures out of getStats, and one word for them. Pure.

const GRADES = [
  { word: "Excellent", rttMs: 100, lossPercent: 0.5, jitterMs: 15 },
  { word: "Good", rttMs: 250, lossPercent: 2, jitterMs: 30 },
  { word: "Fair", rttMs: 450, lossPercent: 6, jitterMs: 60 },
];

/**
 * Reads one report; `previous` is the last result, so that loss is that of the time in between.
 *
 * @returns {{rttMs: number | null, lossPercent: number | null, jitterMs: number | null,
 *   received: number, lost: number, grade: string | null}}
 */
export function readQuality(report, previous = null) {
  const stats = [...report.values()];
  const inbound = stats.find(({ type, kind }) => type === "inbound-rtp" && kind === "audio");
  const pair = activePair(stats);
  const received = inbound?.packetsReceived ?? 0;
  const lost = inbound?.packetsLost ?? 0;
  const figures = {
    rttMs: milliseconds(pair?.currentRoundTripTime),
    jitterMs: milliseconds(inbound?.jitter),
    lossPercent: lossBetween(previous, { received, lost }),
  };
  return { ...figures, received, lost, grade: gradeOf(figures) };
}

function activePair(stats) {
  const transport = stats.find(({ type }) => type === "transport");
  const isActive = ({ type, id, nominated, state }) =>
    type === "candidate-pair" &&
    (transport?.selectedCandidatePairId ? id === transport.selectedCandidatePairId : nominated && state === "succeeded");
  return stats.find(isActive);
}

const milliseconds = (seconds) => (seconds === undefined ? null : seconds * 1000);

function lossBetween(previous, { received, lost }) {
  const newlyLost = Math.max(0, lost - (previous?.lost ?? 0));
  const expected = received - (previous?.received ?? 0) + newlyLost;
  return expected > 0 ? (100 * newlyLost) / expected : null;
}

function gradeOf(figures) {
  const known = Object.entries(figures).filter(([, value]) => value !== null);
  if (known.length === 0) return null;
  const isWithin = (grade) => known.every(([name, value]) => value <= grade[name]);
  return GRADES.find(isWithin)?.word ?? "Poor";
}
