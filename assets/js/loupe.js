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
