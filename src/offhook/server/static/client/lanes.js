// Two lanes of loudness, newest at the right: who spoke when, over the last seconds.

const BAR_PX = 3;
const GAP_PX = 2;
const QUIET = 0.05;

export class Lanes {
  #canvas;
  #history = { you: [], bot: [] };

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  push(you, bot) {
    this.#history.you.push(you);
    this.#history.bot.push(bot);
    const excess = this.#history.you.length - this.#capacity();
    if (excess > 0) for (const lane of Object.values(this.#history)) lane.splice(0, excess);
    this.draw();
  }

  clear() {
    this.#history = { you: [], bot: [] };
    this.draw();
  }

  /** Both lanes grow away from a common middle: yours up, the bot's down. */
  draw() {
    const { width, height, context } = this.#prepare();
    const style = getComputedStyle(this.#canvas);
    const middle = height / 2;
    for (const [name, direction] of [["you", -1], ["bot", 1]]) {
      const levels = this.#history[name];
      for (let index = 0; index < this.#capacity(); index += 1) {
        const level = levels[levels.length - 1 - index] ?? 0;
        const isQuiet = level < QUIET;
        const length = isQuiet ? 2 : 2 + level * (middle - 6);
        const x = width - (index + 1) * (BAR_PX + GAP_PX);
        const y = direction < 0 ? middle - 1.5 - length : middle + 1.5;
        context.fillStyle = style.getPropertyValue(isQuiet ? "--lane-quiet" : `--${name}`);
        context.beginPath();
        context.roundRect(x, y, BAR_PX, length, BAR_PX / 2);
        context.fill();
      }
    }
  }

  #capacity() {
    return Math.max(1, Math.floor(this.#canvas.clientWidth / (BAR_PX + GAP_PX)));
  }

  #prepare() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = globalThis.devicePixelRatio || 1;
    const [pixelWidth, pixelHeight] = [Math.round(width * scale), Math.round(height * scale)];
    if (this.#canvas.width !== pixelWidth || this.#canvas.height !== pixelHeight) {
      this.#canvas.width = pixelWidth;
      this.#canvas.height = pixelHeight;
    }
    const context = this.#canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    return { width, height, context };
  }
}
