/** Draws the rates of the last 5 minutes, [time, rate] each; a null rate is a gap. */
export function drawSparkline(canvas, rates, theme) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (width === 0) return;
  const ratio = devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const max = Math.max(...rates.map(([, rate]) => rate ?? 0), 1e-9);
  const to = rates.at(-1)?.[0] ?? 0;
  const from = to - 300_000;
  const x = (at) => ((at - from) / (to - from)) * (width - 4) + 1;
  const y = (rate) => height - 3 - (rate / max) * (height - 7);
  context.strokeStyle = context.fillStyle = theme.lines[0];
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  let drawing = false;
  context.beginPath();
  for (const [at, rate] of rates) {
    if (rate === null) drawing = false;
    else if (drawing) context.lineTo(x(at), y(rate));
    else context.moveTo(x(at), y(rate));
    drawing = rate !== null;
  }
  context.stroke();
  const last = rates.at(-1);
  if (last && last[1] !== null) {
    context.beginPath();
    context.arc(x(last[0]), y(last[1]), 2, 0, 7);
    context.fill();
  }
}
