#!/usr/bin/env bash
# Serve Loupe on a rented machine (RunPod, or any container with one volume that lasts).
#
#   ./runpod_start.sh             check, restore, serve, restart when it fails, back up
#   ./runpod_start.sh --dry-run   say what would be done, change nothing
#
# The database lives on the machine's own disk, because SQLite on a network volume is slow and unsafe. The volume receives
# a backup every LOUPE_BACKUP_EVERY_MIN minutes and one when the pod is stopped: a pod that dies loses what was recorded
# since the last one, nothing else. Models are downloaded to the volume, so that the next pod finds them.
#
# VOLUME (/workspace) and LOUPE_HOME (/var/lib/loupe) say where; every LOUPE_* setting works; the earlier app's variables
# are translated. Without LOUPE_PASSWORD and LOUPE_API_KEY a password is made once, kept on the volume and printed.
set -euo pipefail

VOLUME=${VOLUME:-/workspace}
KEPT=$VOLUME/loupe
export LOUPE_HOME=${LOUPE_HOME:-/var/lib/loupe}
export LOUPE_BACKUP_DIR=${LOUPE_BACKUP_DIR:-$KEPT/backup}
export LOUPE_BACKUP_EVERY_MIN=${LOUPE_BACKUP_EVERY_MIN:-5}
export LOUPE_HOST=${LOUPE_HOST:-0.0.0.0} LOUPE_PORT=${LOUPE_PORT:-8000}
export LOUPE_TRUSTED_PROXIES=${LOUPE_TRUSTED_PROXIES:-*} LOUPE_HTTPS=${LOUPE_HTTPS:-true}
export HF_HUB_DISABLE_TELEMETRY=1 DO_NOT_TRACK=1

MOST_FAILURES=${MOST_FAILURES:-8}   # in a row, each within STEADY_S of its start
STEADY_S=${STEADY_S:-120}
BACKOFF_S=${BACKOFF_S:-2}           # doubled after every failure, a minute at most
LOG_MB=${LOG_MB:-20}                # a log of this size is rotated; three are kept
LOCK_WAIT_S=${LOCK_WAIT_S:-60}      # a pod that is being replaced lets go within its grace period

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
loupe=${LOUPE_COMMAND:-$(command -v loupe || echo "$root/.venv/bin/loupe")}
python=${LOUPE_PYTHON:-$(dirname "$loupe")/python}
dry=false
[[ ${1:-} == --dry-run ]] && dry=true

say() { printf '%s  %s\n' "$(date -u +%FT%TZ)" "$*"; }
refuse() { say "refused: $*" >&2; exit 2; }
run() { if $dry; then say "would run: $*"; else "$@"; fi; }

check_machine() {
  [[ -d $VOLUME && -w $VOLUME ]] || refuse "there is no writable volume at $VOLUME; attach one, or set VOLUME"
  if ! mountpoint -q "$VOLUME"; then say "note: $VOLUME is not a mounted volume; what is kept there ends with the pod"; fi
  [[ -x $loupe ]] || refuse "loupe is not installed ($loupe); run: make install"
  local free_mb
  free_mb=$(df -Pm "$VOLUME" | awk 'NR == 2 { print $4 }')
  (( free_mb > 1024 )) || refuse "$VOLUME has $free_mb MB left; 1024 are needed"
  if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
    say "GPU: $(nvidia-smi --query-gpu=name,memory.total --format=csv,noheader | paste -sd ';')"
  else
    say "no GPU was found: everything works, slowly"
  fi
}

# Only one pod may use the volume: two databases backed up to one place would overwrite each other.
lock_volume() {
  if $dry; then say "would lock $KEPT/lock"; return; fi
  mkdir -p "$KEPT" && chmod 700 "$KEPT"
  exec 9>"$KEPT/lock"
  flock --wait "$LOCK_WAIT_S" 9 || refuse "another pod serves from $KEPT; stop it first"
}

translate_older() {
  local exports
  exports=$("$python" -m loupe.app.older_variables 2> >(while read -r line; do say "note: $line" >&2; done))
  eval "$exports"
}

find_password() {
  [[ -z ${LOUPE_PASSWORD:-} && -z ${LOUPE_API_KEY:-} ]] || return 0
  local file=$KEPT/password
  if [[ -s $file ]]; then
    say "the password is kept in $file"
  elif $dry; then
    say "would make a password, keep it in $file and print it once"
    return
  else
    (umask 077; "$python" -c 'import secrets; print(secrets.token_urlsafe(15))' >"$file")
    say "a password was made; it is kept in $file and will not be shown again: $(<"$file")"
  fi
  LOUPE_PASSWORD=$(<"$file")
  export LOUPE_PASSWORD
}

prepare_home() {
  run mkdir -p "$LOUPE_HOME" "$KEPT/models"
  run chmod 700 "$LOUPE_HOME"
  [[ -e $LOUPE_HOME/models ]] || run ln -s "$KEPT/models" "$LOUPE_HOME/models"
  if [[ -d $LOUPE_BACKUP_DIR/snapshots ]]; then
    run "$loupe" restore "$LOUPE_BACKUP_DIR" --if-newer || refuse "the backup in $LOUPE_BACKUP_DIR could not be restored"
  fi
}

rotate() {
  local log=$1 size
  size=$(stat -c %s "$log" 2>/dev/null || echo 0)
  (( size < LOG_MB * 1048576 )) && return
  mv -f "$log.1" "$log.2" 2>/dev/null || true
  cp "$log" "$log.1" && : >"$log"
}

serve() {
  local log=$KEPT/loupe.log failures=0 pause=$BACKOFF_S began status child=0
  trap 'stopping=true; (( child )) && kill -TERM "$child" 2>/dev/null' TERM INT
  stopping=false
  while true; do
    rotate "$log"
    began=$SECONDS
    "$loupe" serve 9>&- > >(tee -a "$log") 2>&1 &
    child=$!
    # wait returns early when a signal arrives; the server then makes its last backup, which must not be cut short
    while kill -0 "$child" 2>/dev/null; do
      wait -n "$child" 2>/dev/null || true
      kill -0 "$child" 2>/dev/null && sleep 0.2
      rotate "$log"
    done
    status=0; wait "$child" || status=$?
    if $stopping; then say "stopped; the last backup is in $LOUPE_BACKUP_DIR"; exit 0; fi
    (( SECONDS - began >= STEADY_S )) && { failures=0; pause=$BACKOFF_S; }
    failures=$(( failures + 1 ))
    (( failures < MOST_FAILURES )) || { say "gave up after $failures failures in a row (code $status)"; exit 1; }
    say "the server ended with code $status; starting again in $pause s"
    sleep "$pause"
    pause=$(( pause * 2 > 60 ? 60 : pause * 2 ))
  done
}

check_machine
lock_volume
translate_older
find_password
prepare_home
say "data in $LOUPE_HOME, backups in $LOUPE_BACKUP_DIR every $LOUPE_BACKUP_EVERY_MIN minutes, port $LOUPE_PORT"
if $dry; then say "would serve with: $loupe serve"; exit 0; fi
serve
