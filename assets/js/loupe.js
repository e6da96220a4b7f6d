window.loupe = {};

// Keys that work on every page, and the map of them.
loupe.keys = {
  places: { a: '/', h: '/history', t: '/training', f: '/features', s: '/steering', l: '/library', y: '/system' },
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

// An opened list of choices holds its options in a box that can take focus: without a role, it is no part of a listbox.
new MutationObserver((changes) => {
  if (!changes.some((change) => change.addedNodes.length)) return;
  for (const box of document.querySelectorAll('[role=listbox] > .q-virtual-scroll__content:not([role])')) box.role = 'group';
}).observe(document.documentElement, { childList: true, subtree: true });
