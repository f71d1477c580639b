// Draws the landscape of the first page. Its numbers are in the page; nothing is computed here but the view.
(() => {
  const root = document.getElementById("landscape-film");
  if (!root) return;
  const film = JSON.parse(root.querySelector("script").textContent);
  const canvas = root.querySelector("canvas");
  const pen = canvas.getContext("2d");
  const slider = root.querySelector("input");
  const play = root.querySelector("button");
  const [frames, rows, columns] = film.shape;
  const bytes = Uint8Array.from(atob(film.heights), (letter) => letter.charCodeAt(0));
  const heights = new Uint16Array(bytes.buffer);
  const rise = 1.15;
  let azimuth = -0.62, elevation = 0.56, playing = 0;

  const mix = (a, b, share) => a + (b - a) * share;
  const shade = (from, to, share) => {
    const part = (colour, i) => parseInt(colour.slice(1 + 2 * i, 3 + 2 * i), 16);
    return `rgb(${[0, 1, 2].map((i) => Math.round(mix(part(from, i), part(to, i), share))).join()})`;
  };

  // the frame between two frames
  function moment() {
    const place = slider.value / slider.max * (frames - 1);
    const before = Math.min(Math.floor(place), frames - 2), share = place - before;
    const size = rows * columns, at = before * size;
    const ground = new Float32Array(size);
    for (let i = 0; i < size; i++) ground[i] = mix(heights[at + i], heights[at + size + i], share) / 65535;
    const path = film.paths[before].map((point, i) =>
      point.map((value, k) => mix(value, film.paths[before + 1][i][k], share)));
    return { ground, path, nearest: Math.round(place), share: place / (frames - 1) };
  }

  function draw() {
    const width = canvas.clientWidth, height = canvas.clientHeight, dense = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * dense)) {
      canvas.width = Math.round(width * dense);
      canvas.height = Math.round(height * dense);
    }
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, width, height);
    const { ground, path, nearest, share } = moment();
    const scale = Math.min(width / 2.9, height / 2.2);
    const [cos, sin] = [Math.cos(azimuth), Math.sin(azimuth)];
    const [tilt, lift] = [Math.sin(elevation), Math.cos(elevation)];
    // x and y from -1 to 1, z from 0 to 1
    const view = (x, y, z) => {
      const across = x * cos - y * sin, away = x * sin + y * cos;
      return [width / 2 + scale * across,
        height * 0.44 - scale * (away * tilt + (z - 0.4) * rise * lift)];
    };
    const corner = (j, i) => view(2 * i / (columns - 1) - 1, 2 * j / (rows - 1) - 1, ground[j * columns + i]);
    const points = [];
    for (let j = 0; j < rows; j++) for (let i = 0; i < columns; i++) points.push(corner(j, i));
    const order = (count, forward) => [...Array(count).keys()].sort((a, b) => forward ? a - b : b - a);
    // what is far is drawn first
    for (const j of order(rows - 1, cos < 0)) {
      for (const i of order(columns - 1, sin < 0)) {
        const at = j * columns + i;
        const four = [at, at + 1, at + columns + 1, at + columns];
        const mean = four.reduce((sum, k) => sum + ground[k], 0) / 4;
        pen.fillStyle = film.colours[Math.min(63, Math.floor(64 * mean))];
        pen.strokeStyle = pen.fillStyle;
        pen.lineWidth = 0.6;
        pen.beginPath();
        four.forEach((k, n) => n ? pen.lineTo(...points[k]) : pen.moveTo(...points[k]));
        pen.closePath();
        pen.fill();
        pen.stroke();
        pen.strokeStyle = "rgba(255,255,255,.45)";
        pen.beginPath();
        if (j % 4 === 0) { pen.moveTo(...points[at]); pen.lineTo(...points[at + 1]); }
        if (i % 4 === 0) { pen.moveTo(...points[at]); pen.lineTo(...points[at + columns]); }
        pen.stroke();
      }
    }
    const inside = ([u, v, energy]) => view(
      2 * (u - film.u[0]) / (film.u[1] - film.u[0]) - 1,
      2 * (v - film.v[0]) / (film.v[1] - film.v[0]) - 1, energy / film.top + 0.012);
    const way = path.map(inside);
    const colour = shade(...film.ends, share);
    for (const [paint, thick] of [["white", 5], [colour, 3]]) {
      pen.strokeStyle = paint;
      pen.lineWidth = thick;
      pen.lineJoin = pen.lineCap = "round";
      pen.beginPath();
      way.forEach((point, n) => n ? pen.lineTo(...point) : pen.moveTo(...point));
      pen.stroke();
    }
    way.forEach((point, n) => {
      if (n % 5) return;
      pen.beginPath();
      pen.arc(...point, n ? 3.4 : 5, 0, 7);
      pen.fillStyle = n ? colour : "white";
      pen.strokeStyle = n ? "white" : colour;
      pen.lineWidth = n ? 1 : 2;
      pen.fill();
      pen.stroke();
    });
    pen.fillStyle = getComputedStyle(root).color;
    pen.font = "italic 16px serif";
    pen.textAlign = "center";
    pen.fillText("u", ...view(0, -1.18 * (cos < 0 ? -1 : 1), 0));
    pen.fillText("v", ...view(1.18 * (sin < 0 ? 1 : -1), 0, 0));
    root.querySelector("[data-time]").textContent = film.times[nearest];
    root.querySelector("[data-halved]").textContent = film.halved[nearest];
    root.querySelector("[data-path]").style.color = colour;
  }

  let asked = 0;
  const redraw = () => { asked ||= requestAnimationFrame(() => { asked = 0; draw(); }); };

  function turn(right, up) {
    azimuth += right;
    elevation = Math.min(1.5, Math.max(0.1, elevation + up));
    redraw();
  }

  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    // a finger turns by going sideways, so that the page still scrolls
    if (canvas.hasPointerCapture(event.pointerId)) {
      turn(event.movementX * 0.01, event.pointerType === "touch" ? 0 : event.movementY * 0.01);
    }
  });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    turn(...moves[event.key]);
  });

  function advance(to) {
    const value = Number(slider.value), step = Number(slider.max) / 150;
    slider.value = to > value ? Math.min(to, value + step) : Math.max(to, value - step);
    redraw();
    if (Number(slider.value) !== to) playing = requestAnimationFrame(() => advance(to));
    else stop();
  }
  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    play.textContent = "Play";
  }
  play.addEventListener("click", () => {
    if (playing) return stop();
    play.textContent = "Stop";
    advance(slider.value < slider.max / 2 ? Number(slider.max) : 0);
  });
  slider.addEventListener("input", () => { stop(); redraw(); });
  new ResizeObserver(redraw).observe(canvas);
  new MutationObserver(redraw).observe(document.body, { attributes: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  draw();
})();
