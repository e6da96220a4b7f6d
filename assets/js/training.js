// Charts of trainings. The server sends numbers; colours come from the style sheet, so that a change of theme is drawn at once.
loupe.charts = {
  drawn: new Map(),
  colours: {
    dark: ['#56b4e9', '#e69f00', '#2fbf94', '#cc79a7', '#f0e442', '#ef8a4a', '#8aa9ff'],
    light: ['#0072b2', '#b45309', '#047857', '#a3477b', '#7a6a00', '#c2410c', '#3b4fb8'],
  },
  dashes: ['solid', 'dashed', 'dotted'],
  short(v) {
    if (v === 0) return '0';
    const a = Math.abs(v);
    return a >= 1e6 || a < 1e-3 ? v.toExponential(1).replace('e+', 'e') : String(Number(v.toPrecision(4)));
  },
  time(s) {
    if (s < 60) return `${Number(s.toPrecision(3))} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`.replace(' 0 s', '');
    return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`.replace(' 0 min', '');
  },
  along: { step: 'step', tokens: 'tokens', at: 'time since the first point' },
  escaped: (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`),
  theme() {
    const style = getComputedStyle(document.body), of = (name) => style.getPropertyValue(name).trim();
    const dark = document.body.classList.contains('body--dark');
    return { text: of('--text'), soft: of('--soft'), line: of('--line'), raised: of('--raised'), panel: of('--panel'), pos: of('--pos'), series: this.colours[dark ? 'dark' : 'light'] };
  },
  draw(id, what) {
    const chart = window.getElement && getElement(id)?.chart;
    if (!chart) { if (document.getElementById('c' + id)) setTimeout(() => this.draw(id, what), 40); return; }
    this.drawn.set(id, what);
    chart.setOption(this[what.kind](what, this.theme()), { notMerge: true });
  },
  redraw() {
    for (const [id, what] of this.drawn) document.getElementById('c' + id) ? this.draw(id, what) : this.drawn.delete(id);
  },
  axis(t, more) {
    return {
      axisLine: { lineStyle: { color: t.soft } }, axisTick: { show: false }, splitLine: { lineStyle: { color: t.line } },
      axisLabel: { color: t.soft, fontSize: 11, hideOverlap: true, formatter: (v) => this.short(v) },
      nameTextStyle: { color: t.soft, fontSize: 11 }, ...more,
    };
  },
  tip(t, more) {
    return { backgroundColor: t.raised, borderColor: t.line, textStyle: { color: t.text, fontSize: 12 }, confine: true, ...more };
  },
  smoothed(points, weight) {
    let last = 0, mass = 0;
    return points.map(([x, y]) => {
      last = last * weight + (1 - weight) * y;
      mass = mass * weight + (1 - weight);
      return [x, last / mass];
    });
  },
  lines(what, t) {
    const series = [];
    for (const each of what.series) {
      const points = each.points.filter((p) => (!what.log || p[1] > 0) && (!what.logX || p[0] > 0));
      const colour = each.role === 'target' ? t.soft : t.series[each.colour % t.series.length];
      const look = { type: 'line', name: each.name, showSymbol: each.role === 'judged' || points.length < 2, symbol: each.role === 'judged' ? 'diamond' : 'circle', symbolSize: 7, animation: false, itemStyle: { color: colour }, emphasis: { disabled: true } };
      const stroke = { color: colour, width: each.other ? 1.2 : 1.8, opacity: each.role === 'judged' ? 0.5 : 1, type: each.role === 'target' ? 'dashed' : each.other ? 'dotted' : this.dashes[Math.floor(each.colour / t.series.length) % 3] };
      const smooth = what.smooth > 0 && each.role === 'curve' && points.length > 2;
      if (smooth) series.push({ ...look, data: points, lineStyle: { ...stroke, opacity: 0.25, width: 1 }, tooltip: { show: false }, silent: true });
      series.push({ ...look, data: smooth ? this.smoothed(points, what.smooth) : points, lineStyle: stroke });
    }
    const curves = what.series.filter((s) => s.role === 'curve');
    const told = (v) => (what.x === 'at' ? this.time(v) : this.short(v));
    const names = new Set((curves.length ? curves : what.series).map((s) => s.name));
    return {
      animation: false, series,
      title: what.empty ? { text: what.empty, left: 'center', top: 'middle', textStyle: { color: t.soft, fontSize: 12, fontWeight: 'normal' } } : undefined,
      grid: { left: 8, right: 16, top: names.size > 1 ? 36 : 12, bottom: 24, containLabel: true },
      legend: names.size > 1 ? { type: 'scroll', top: 4, data: [...names], textStyle: { color: t.text, fontSize: 11, width: 150, overflow: 'truncate' }, pageTextStyle: { color: t.text }, itemHeight: 14 } : undefined,
      tooltip: this.tip(t, { trigger: 'axis', axisPointer: { lineStyle: { color: t.soft } }, valueFormatter: (v) => this.short(v) }),
      xAxis: this.axis(t, { show: !what.empty, type: what.logX ? 'log' : 'value', name: this.along[what.x], nameLocation: 'middle', nameGap: 22, min: what.logX ? 'dataMin' : 0, max: 'dataMax', splitLine: { show: false }, axisLabel: { color: t.soft, fontSize: 11, hideOverlap: true, formatter: told }, axisPointer: { label: { formatter: (p) => `${this.along[what.x]} ${told(p.value)}` } } }),
      yAxis: this.axis(t, { show: !what.empty, type: what.log ? 'log' : 'value', scale: true }),
    };
  },
  heat(what, t) {
    if (!what.cells.length) return this.lines({ series: [], x: 'step', empty: what.empty }, t);
    const most = Math.max(1, ...what.cells.map((c) => c[2]));
    return {
      animation: false,
      grid: { left: 8, right: 60, top: 10, bottom: 24, containLabel: true },
      tooltip: this.tip(t, { formatter: (p) => `step ${what.steps[p.value[0]]}: ${p.value[2]} latents, ${what.bins[p.value[1]]}` }),
      xAxis: this.axis(t, { type: 'category', data: what.steps, name: 'step', nameLocation: 'middle', nameGap: 22, axisLabel: { color: t.soft, fontSize: 11, hideOverlap: true } }),
      yAxis: this.axis(t, { type: 'category', data: what.bins, axisLabel: { color: t.soft, fontSize: 11, interval: (i, name) => name === 'never' || /e-?\d(\.5)?$/.test(name) } }),
      visualMap: { min: 0, max: most, calculable: false, orient: 'vertical', right: 4, top: 'middle', itemHeight: 90, itemWidth: 10, text: [String(most), '0'], textStyle: { color: t.soft, fontSize: 11 }, inRange: { color: [t.panel, `rgb(${t.pos.split(' ').join(',')})`] } },
      series: [{ type: 'heatmap', data: what.cells, progressive: 0, emphasis: { disabled: true } }],
    };
  },
  scatter(what, t) {
    const shapes = ['circle', 'diamond', 'triangle', 'rect', 'pin'];
    const apart = { scale: true, boundaryGap: ['8%', '8%'], min: (r) => (r.min < r.max ? null : r.min * 0.9), max: (r) => (r.min < r.max ? null : r.max * 1.1) };
    return {
      animation: false,
      grid: { left: 8, right: 24, top: 34, bottom: 26, containLabel: true },
      legend: { type: 'scroll', top: 0, data: what.groups.map((group) => group.name), textStyle: { color: t.text, fontSize: 11 }, pageTextStyle: { color: t.text } },
      tooltip: this.tip(t, { formatter: (p) => p.marker + this.escaped(p.value[2]) + `<br>L0 ${this.short(p.value[0])}, ${what.y} ${this.short(p.value[1])}` }),
      xAxis: this.axis(t, { type: 'value', name: 'L0', nameLocation: 'middle', nameGap: 24, ...apart }),
      yAxis: this.axis(t, { type: 'value', ...apart, name: what.y, nameLocation: 'end', nameTextStyle: { color: t.soft, fontSize: 11, align: 'left' } }),
      series: [{ type: 'line', name: 'front', data: what.front, showSymbol: false, silent: true, lineStyle: { color: t.soft, width: 1.2, type: 'dashed' }, tooltip: { show: false }, emphasis: { disabled: true } }, ...what.groups.map((group, i) => ({ type: 'scatter', name: group.name, symbol: shapes[i % shapes.length], symbolSize: 11, itemStyle: { color: t.series[i % t.series.length] }, data: group.points }))],
    };
  },
};
document.addEventListener('DOMContentLoaded', () => {
  new MutationObserver(() => {
    const dark = document.body.classList.contains('body--dark');
    if (dark !== loupe.charts.dark) { loupe.charts.dark = dark; loupe.charts.redraw(); }
  }).observe(document.body, { attributes: true, attributeFilter: ['class'] });
});
