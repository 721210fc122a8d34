"use strict";
(() => {
  const store = document.getElementById("sample-data");
  if (!store) return;
  const samples = JSON.parse(store.textContent);
  const find = (id) => document.getElementById(id);
  const list = find("list"), more = find("more"), page = 8;
  const ICONS = { play: "M5 3.5v13l11-6.5z", pause: "M5 4h3.6v12H5zM11.4 4H15v12h-3.6z" };
  let shown = 0, matches = [], playing = null;

  const make = (tag, name, text) => {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const letter = (voice) => (voice < 26 ? String.fromCharCode(65 + voice) : String(voice));
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  const words = (text) => text.toLowerCase().match(/[\p{L}\p{N}']+/gu) || [];

  for (const sample of samples) {
    const said = sample.voices.flatMap((v) => [v.heard, ...v.answers.map((a) => a[2])]);
    sample.index = [sample.text, sample.teacher, ...said].join("\n").toLowerCase();
  }
  const options = (select, values, name) => {
    for (const value of values) {
      const option = make("option", "", name(value));
      option.value = value;
      select.append(option);
    }
  };
  options(find("topic"), [...new Set(samples.map((s) => s.topic))].filter(Boolean).sort(), (t) => t);
  const voices = [...new Set(samples.flatMap((s) => s.voices.map((v) => v.voice)))].sort((a, b) => a - b);
  options(find("voice"), voices, (v) => `Voice ${letter(v)}`);

  const icon = (button, name) => {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg"), path = document.createElementNS(space, "path");
    svg.setAttribute("viewBox", "0 0 20 20");
    path.setAttribute("d", ICONS[name]);
    svg.append(path);
    button.replaceChildren(svg);
    button.setAttribute("aria-label", name === "play" ? "Play" : "Pause");
  };

  const player = (voice) => {
    if (!voice.audio) {
      return make("p", "silent", `${voice.seconds} s; audio left out to keep the page small`);
    }
    const box = make("div", "player"), button = make("button", "play"), wave = make("div", "wave");
    const time = make("span", "clock", clock(voice.seconds));
    const bars = [...voice.peaks].map((digit) => {
      const bar = make("i");
      bar.style.height = `${8 + 92 * (Number(digit) / 9)}%`;
      wave.append(bar);
      return bar;
    });
    const seek = make("input");
    Object.assign(seek, { type: "range", min: 0, max: 1000, value: 0 });
    seek.setAttribute("aria-label", "Position");
    wave.append(seek);
    button.type = "button";
    icon(button, "play");
    let audio = null;
    const length = () => (audio && Number.isFinite(audio.duration) ? audio.duration : voice.seconds);
    const paint = () => {
      const share = audio ? audio.currentTime / length() : 0;
      bars.forEach((bar, i) => bar.classList.toggle("past", share > 0 && i / bars.length <= share));
      seek.value = share * 1000;
      time.textContent = audio && audio.currentTime ? `${clock(audio.currentTime)} / ${clock(length())}` : clock(length());
      if (audio && !audio.paused) requestAnimationFrame(paint);
    };
    const open = () => {
      if (audio) return;
      audio = new Audio(voice.audio);
      audio.onplay = () => { icon(button, "pause"); paint(); };
      audio.onpause = () => icon(button, "play");
      audio.onended = () => { audio.currentTime = 0; paint(); };
      audio.onerror = () => { time.textContent = "this browser cannot play Opus"; };
    };
    button.onclick = () => {
      open();
      if (!audio.paused) return audio.pause();
      if (playing && playing !== audio) playing.pause();
      playing = audio;
      audio.play().catch(() => {});
    };
    seek.oninput = () => { open(); audio.currentTime = (seek.value / 1000) * length(); paint(); };
    box.append(button, wave, time);
    return box;
  };

  const heard = (voice, sample) => {
    const line = make("p", "heard"), known = new Set(words(sample.text));
    line.append(make("b", "", "The connector heard"));
    for (const part of voice.heard.split(/(\s+)/)) {
      const strange = words(part).some((word) => !known.has(word));
      line.append(strange ? make("mark", "", part) : part);
    }
    return line;
  };

  const answer = (name, colour, text, own) => {
    const box = make("div", "answer"), head = make("h4");
    head.append(make("span", `key ${colour}`, name));
    box.append(head, text.trim() ? make("p", "", text.trim()) : make("p", "empty", "no answer"));
    if (own) box.append(make("p", "own", `heard: ${own}`));
    return box;
  };

  const card = (sample, wanted) => {
    const box = make("article", "sample"), chips = make("div", "chips"), tabs = make("div", "voices");
    const body = make("div");
    for (const tag of [sample.topic, sample.difficulty]) if (tag) chips.append(make("span", "", tag));
    const show = (voice) => {
      for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(tab.dataset.voice === String(voice.voice)));
      const hearing = make("div", "hearing"), left = make("div"), right = make("div"), answers = make("div", "answers");
      left.append(tabs, player(voice));
      if (voice.heard) right.append(heard(voice, sample));
      right.append(make("p", "about", `${voice.speaker}, ${voice.acoustics}`));
      hearing.append(left, right);
      if (sample.teacher) {
        const told = answer("Teacher", "m-teacher", sample.teacher);
        told.classList.add("told");
        answers.append(told);
      }
      for (const reply of voice.answers) answers.append(answer(...reply));
      body.replaceChildren(hearing, answers);
    };
    for (const voice of sample.voices) {
      const tab = make("button", "", `Voice ${letter(voice.voice)}`);
      tab.type = "button";
      tab.dataset.voice = voice.voice;
      tab.onclick = () => { if (playing) playing.pause(); show(voice); tab.focus(); };
      tabs.append(tab);
    }
    box.append(chips, make("p", "ask", sample.text), body);
    show(sample.voices.find((v) => String(v.voice) === wanted) || sample.voices[0]);
    return box;
  };

  const extend = () => {
    const wanted = find("voice").value;
    list.append(...matches.slice(shown, shown + page).map((sample) => card(sample, wanted)));
    shown = Math.min(shown + page, matches.length);
    more.hidden = shown >= matches.length;
  };
  const filter = () => {
    const terms = find("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const topic = find("topic").value, voice = find("voice").value;
    matches = samples.filter((s) => (!topic || s.topic === topic)
      && (!voice || s.voices.some((v) => String(v.voice) === voice))
      && terms.every((term) => s.index.includes(term)));
    if (playing) playing.pause();
    list.replaceChildren();
    shown = 0;
    find("count").textContent = matches.length === samples.length ? `${samples.length} requests` : `${matches.length} of ${samples.length} requests`;
    extend();
  };
  find("filters").oninput = filter;
  find("filters").onsubmit = (event) => event.preventDefault();
  more.onclick = extend;
  filter();
})();
