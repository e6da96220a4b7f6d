// What only the browser knows: which token the pointer is on, and which one lies above or below another.
window.loupe = {
  _over: -1,
  index(e) {
    const t = e.target.closest ? e.target.closest('[data-i]') : null;
    return t ? Number(t.dataset.i) : -1;
  },
  hover(e, emit) {
    const i = this.index(e);
    if (i === this._over) return;
    this._over = i;
    emit(i);
  },
  leave(e, emit) {
    if (this._over === -1) return;
    this._over = -1;
    emit(-1);
  },
  click(e, emit) {
    if (window.getSelection && String(window.getSelection())) return; // a drag to copy text is not a choice
    emit(this.index(e));
  },
  key(e, emit) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const box = e.currentTarget;
    const all = [...box.querySelectorAll('.tok.done, .tok.doubtful')];
    if (!all.length) return;
    const now = all.findIndex((t) => t.classList.contains('locked'));
    let next = null;
    if (e.key === 'ArrowRight') next = all[Math.min(now + 1, all.length - 1)];
    else if (e.key === 'ArrowLeft') next = all[Math.max(now - 1, 0)];
    else if (e.key === 'Home') next = all[0];
    else if (e.key === 'End') next = all[all.length - 1];
    else if (e.key === 'ArrowDown' || e.key === 'ArrowUp') next = this.vertical(all, now, e.key === 'ArrowDown');
    else if (e.key === 'Escape') { e.preventDefault(); emit(-1); return; }
    else return;
    e.preventDefault();
    if (!next) return;
    next.scrollIntoView({ block: 'nearest' });
    emit(Number(next.dataset.i));
  },
  vertical(all, now, down) {
    if (now < 0) return all[0];
    const from = all[now].getClientRects()[0];
    const x = from.left + from.width / 2;
    let best = null, bestCost = Infinity;
    for (const t of all) {
      const r = t.getClientRects()[0];
      const dy = (r.top - from.top) * (down ? 1 : -1);
      if (dy < from.height / 2) continue;
      const cost = dy * 1000 + Math.abs(r.left + r.width / 2 - x);
      if (cost < bestCost) { best = t; bestCost = cost; }
    }
    return best;
  },
};

// Keys that work on every page, and the map of them.
loupe.keys = {
  places: { a: '/', t: '/training', f: '/features', s: '/steering', l: '/library', y: '/system' },
  leader: 0,
  map: () => document.getElementById('keymap'),
  single: () => localStorage.getItem('loupe-single-keys') !== 'off',
  toggle() {
    const map = this.map();
    if (!map) return;
    if (map.open) { map.close(); return; }
    const box = document.getElementById('keymap-single');
    box.checked = this.single();
    box.onchange = () => localStorage.setItem('loupe-single-keys', box.checked ? 'on' : 'off');
    map.showModal();
  },
  typing: (t) => t && (t.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(t.tagName)),
  press(e) {
    if (e.ctrlKey || e.metaKey || e.altKey || this.typing(e.target) || !this.single()) return;
    if (e.key === '?') { e.preventDefault(); this.toggle(); return; }
    if (this.map()?.open) return;
    if (this.leader && Date.now() - this.leader < 1500 && this.places[e.key]) {
      window.location.href = (window.path_prefix || '') + this.places[e.key];
      return;
    }
    this.leader = e.key === 'g' ? Date.now() : 0;
    if (e.key === '/') {
      const field = document.querySelector('[data-search] input, [data-search] textarea, input[data-search], textarea[data-search]');
      if (field) { e.preventDefault(); field.focus(); }
    }
    const own = document.querySelector(`[data-key="${CSS.escape(e.key)}"]:not([disabled])`);
    if (own && own.offsetParent) { e.preventDefault(); own.click(); }
  },
};
document.addEventListener('keydown', (e) => loupe.keys.press(e));
