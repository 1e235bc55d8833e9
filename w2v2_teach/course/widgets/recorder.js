// Records from the microphone where the browser has one and may use it; sends 16-bit samples to Python, or says why not.
const HOW = "Upload a sound file instead.";
const NOWHERE = `This page gets no microphone: browsers give one to https pages and to localhost only. ${HOW}`;
/** @type {Record<string, string>} */
const WHY = {
  NotAllowedError: `The browser was not allowed to use the microphone; the address bar says how to allow it. ${HOW}`,
  NotFoundError: `This machine has no microphone, or the browser does not see it. ${HOW}`,
  NotReadableError: `Another program holds the microphone. Close it and try again. ${HOW}`,
};

/** @typedef {{ seconds: number, rate: number, recording: DataView }} Traits */

/** @type {import("@anywidget/types").Render<Traits>} */
function render({ model, el }) {
  const { controls, say } = frame(el, "recorder", "Your voice goes to the notebook's own kernel and nowhere else.");
  const start = button(controls, "● record", toggle, { "aria-pressed": "false" });
  const most = model.get("seconds");
  const rate = model.get("rate");
  /** @type {MediaRecorder | null} */
  let recorder = null;
  let clock = 0;
  let asked = false;

  async function toggle() {
    if (recorder) return recorder.stop();
    if (asked) return; // the browser is still asking its user
    if (!navigator.mediaDevices?.getUserMedia) return say(NOWHERE);
    asked = true;
    try {
      record(await navigator.mediaDevices.getUserMedia({ audio: true }));
    } catch (error) {
      const { name, message } = /** @type {Error} */ (error);
      say(WHY[name] ?? `The browser cannot record: ${message}. ${HOW}`);
    }
    asked = false;
  }

  /** @param {MediaStream} stream */
  function record(stream) {
    /** @type {Blob[]} */
    const pieces = [];
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1000;
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = ({ data }) => pieces.push(data);
    recorder.onstop = async () => {
      clearInterval(clock);
      for (const track of stream.getTracks()) track.stop();
      recorder = null;
      start.textContent = "● record";
      start.setAttribute("aria-pressed", "false");
      try {
        send(await decoded(new Blob(pieces)));
      } catch (error) {
        say(`The browser cannot read what it has recorded: ${/** @type {Error} */ (error).message}`);
      }
    };
    recorder.start();
    start.textContent = "■ stop";
    start.setAttribute("aria-pressed", "true");
    clock = setInterval(() => {
      say(`Recording: ${seconds().toFixed(0)} s of at most ${most} s.`);
      if (seconds() >= most) recorder?.stop();
    }, 200);
  }

  /**
   * One channel at 16 kHz: a browser decodes to the rate of the context that it decodes for.
   * @param {Blob} blob
   */
  async function decoded(blob) {
    const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await blob.arrayBuffer());
    const channels = Array.from({ length: sound.numberOfChannels }, (_, c) => sound.getChannelData(c));
    return channels[0].map((_, n) => channels.reduce((sum, channel) => sum + channel[n], 0) / channels.length);
  }

  /** @param {Float32Array} samples from -1 to 1 */
  function send(samples) {
    const pressed = Int16Array.from(samples, (x) => Math.round(32767 * Math.min(Math.max(x, -1), 1)));
    say(`${(samples.length / rate).toFixed(1)} s recorded. Python looks at it now.`);
    model.set("recording", new DataView(pressed.buffer));
    model.save_changes();
  }

  return () => recorder?.stop();
}

export default { render };
