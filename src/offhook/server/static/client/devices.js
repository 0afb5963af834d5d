// Microphones: which there are, opening one, and why it did not work, in words.

export const NO_MICROPHONE = "none";
const SPEECH = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

const REFUSALS = {
  NotAllowedError: "The browser does not allow the microphone. You can listen and type.",
  NotFoundError: "No microphone was found. You can listen and type.",
  NotReadableError: "The microphone is in use by another program. You can listen and type.",
  OverconstrainedError: "That microphone is no longer there. You can listen and type.",
};
const NO_ACCESS = "Browsers open the microphone only for https pages and localhost. You can listen and type.";

/** @returns {Promise<{id: string, label: string}[]>} without names before the first permission */
export async function listMicrophones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
  return devices
    .filter(({ kind, deviceId }) => kind === "audioinput" && deviceId && deviceId !== "default")
    .map(({ deviceId, label }) => ({ id: deviceId, label }));
}

/** Whether opening a microphone would ask nobody. */
export async function isMicrophoneGranted() {
  try {
    return (await navigator.permissions.query({ name: "microphone" })).state === "granted";
  } catch {
    return false; // Not every browser knows this permission.
  }
}

/**
 * Opens a microphone; never throws.
 *
 * @param {string} choice a device id, "" for the system's default, or NO_MICROPHONE
 * @returns {Promise<{track: MediaStreamTrack | null, problem: string}>}
 */
export async function openMicrophone(choice) {
  if (choice === NO_MICROPHONE) return { track: null, problem: "" };
  if (!navigator.mediaDevices) return { track: null, problem: NO_ACCESS };
  const audio = choice ? { ...SPEECH, deviceId: { exact: choice } } : SPEECH;
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    return { track: stream.getAudioTracks()[0], problem: "" };
  } catch (error) {
    return { track: null, problem: REFUSALS[error.name] ?? `The microphone could not be opened (${error.name}).` };
  }
}

export function onDevicesChanged(handle) {
  navigator.mediaDevices?.addEventListener("devicechange", handle);
}
