#!/usr/bin/env bash
# The steps of .ci/Containerfile without a container engine, in a fresh root file system, and what
# the container promises, tried out: `bash .ci/container.sh FOLDER [VIDEO]`, as root on Debian.
#
# FOLDER must not exist; the root file system is made there by debootstrap. Installing may use the
# network. Afterwards everything runs as the container's user, without a network but for its own
# loopback, on a file system that is read-only but for /data. Figures come last.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${1:?FOLDER, which must not exist} video=${2:-}
[[ ! -e $root ]] || { echo "$root exists already; give the name of a new folder" >&2; exit 2; }
((EUID == 0)) || { echo "debootstrap, chroot and unshare need root" >&2; exit 2; }
for program in debootstrap chroot unshare setpriv python3; do
  command -v "$program" >/dev/null || { echo "no $program: apt-get install debootstrap util-linux" >&2; exit 2; }
done
mkdir -p "$root" && root=$(cd "$root" && pwd)
figures=()
note() { figures+=("$(printf '%6s s  %s' "$1" "$2")"); }
began=$SECONDS

# -- what the Containerfile says, one step a line: the word, a blank, the rest ------------------
steps() {
  python3 - "$here/Containerfile" <<'PY'
import re, sys
text = open(sys.argv[1], encoding="utf-8").read().replace("\\\n", " ")
for line in text.splitlines():
    if re.match(r"[A-Z]+ ", line):
        print(line)
PY
}
as_list() { python3 -c 'import json, sys; print(*json.loads(sys.argv[1]), sep="\0", end="\0")' "$1"; }

environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
user=0:0 folder=/ volume="" entry=() command=() health=()

# Where pip of this machine looks for packages, the container's looks too, while it installs.
lend() {
  local from
  while read -r from; do
    from=${from#file://}
    [[ $from == /opt/pypi*/simple ]] && from=${from%/simple}
    [[ -e $from && ! -e $root$from && $from != *.crt ]] || continue
    if [[ -d $from ]]; then mkdir -p "$root$from"; else mkdir -p "$(dirname "$root$from")" && : >"$root$from"; fi
    mount --rbind "$from" "$root$from" && lent+=("$root$from")
  done < <(python3 -m pip config list 2>/dev/null | grep -oE "(file://)?/[^' ]+" | sort -u)
  # Not where the package ca-certificates keeps its own.
  : >"$root/run/ca.crt" && mount --bind /etc/ssl/certs/ca-certificates.crt "$root/run/ca.crt" && lent+=("$root/run/ca.crt")
  [[ -e $root/etc/resolv.conf ]] || : >"$root/etc/resolv.conf"
  mount --bind /etc/resolv.conf "$root/etc/resolv.conf" && lent+=("$root/etc/resolv.conf")
  mount -t proc proc "$root/proc" && lent+=("$root/proc")
  local key value
  pip=(PIP_CERT=/run/ca.crt)
  for key in find-links index-url extra-index-url; do
    value=$(python3 -m pip config get "global.$key" 2>/dev/null | tr '\n' ' ') || continue
    pip+=("PIP_$(tr a-z- A-Z_ <<<"$key")=$value")
  done
}
give_back() { for ((k = ${#lent[@]} - 1; k >= 0; k--)); do umount -l "${lent[k]}"; done; lent=(); }
lent=() pip=() aside=$(mktemp -d)
trap 'give_back; rm -rf "$aside"' EXIT

# Of a descriptor of its own: what a step starts might read the steps from its stdin.
while read -r -u 3 word rest; do
  case $word in
    FROM)
      [[ $rest == debian:bookworm-slim ]] || { echo "no way to make $rest here" >&2; exit 2; }
      start=$SECONDS
      debootstrap --variant=minbase bookworm "$root" >"$aside/log" 2>&1 || { tail "$aside/log"; exit 1; }
      note $((SECONDS - start)) "debootstrap bookworm, minbase"
      lend ;;
    ENV) for one in $rest; do environment+=("$one"); done ;;
    COPY)
      read -r from to <<<"$rest"
      [[ $from == . ]] || { echo "COPY is known of . alone" >&2; exit 2; }
      mkdir -p "$root$to"
      # What .dockerignore keeps from an engine is kept from us.
      mapfile -t kept_out < <(sed -nE 's|^\*\*/||; t anywhere; s|^[^#]|./&|p; b; :anywhere; p' "$here/../.dockerignore")
      tar -C "$here/.." "${kept_out[@]/#/--exclude=}" -cf - . | tar -C "$root$to" --no-same-owner -xf - ;;
    RUN)
      start=$SECONDS
      echo "=== $rest"
      # The machine's own package sources go last: they win over the Containerfile's.
      chroot "$root" env -i "${environment[@]}" DEBIAN_FRONTEND=noninteractive "${pip[@]}" \
        sh -euc "cd $folder; $rest" 3<&- </dev/null >"$aside/log" 2>&1 || { tail -n 30 "$aside/log"; exit 1; }
      note $((SECONDS - start)) "RUN ${rest:0:70}" ;;
    USER) user=$rest ;;
    WORKDIR) folder=$rest ;;
    VOLUME) volume=$rest ;;
    HEALTHCHECK) mapfile -d '' -t health < <(as_list "${rest#*CMD }") ;;
    ENTRYPOINT) mapfile -d '' -t entry < <(as_list "$rest") ;;
    CMD) mapfile -d '' -t command < <(as_list "$rest") ;;
    EXPOSE) ;;
    *) echo "no way to do $word here" >&2; exit 2 ;;
  esac
done 3< <(steps)
give_back
size=$(du -sm "$root" | cut -f1)

# -- what the container promises -------------------------------------------------------------------
if [[ -n $video ]]; then cp "$video" "$root$volume/"; given=$volume/$(basename "$video"); else given=""; fi
cat >"$aside/inside" <<'SH'
# Inside: mounts of our own, no network. $1 root, $2 volume, $3 folder; what follows is done.
set -euo pipefail
root=$1 volume=$2 folder=$3 user=$4 given=$5; shift 5
ip link set lo up 2>/dev/null || python3 -c '
import fcntl, socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 1))' # SIOCSIFFLAGS, IFF_UP
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for one in null zero random urandom; do : >"$root/dev/$one"; mount --bind "/dev/$one" "$root/dev/$one"; done
mkdir "$root/dev/shm"
mount --bind "$root$volume" "$root$volume"
mount -o remount,ro,bind "$root"
mount -o remount,ro "$root/dev"
export_to=(env -i "${ENVIRONMENT[@]}")
SH
# Arrays do not pass through the environment: the script begins with them.
{
  printf 'ENVIRONMENT=('; printf '%q ' "${environment[@]}" AUMER_TOKEN=a-token-for-this-trial-alone; printf ')\n'
  printf 'ENTRY=('; printf '%q ' "${entry[@]}"; printf ')\nCOMMAND=('; printf '%q ' "${command[@]}"
  printf ')\nHEALTH=('; printf '%q ' "${health[@]}"; printf ')\n'
  cat "$aside/inside"
  cat <<'SH'
inside() { chroot "$root" "${export_to[@]}" setpriv --reuid "${user%:*}" --regid "${user#*:}" --clear-groups \
  --no-new-privs --bounding-set=-all --inh-caps=-all sh -c "cd $folder; exec \"\$@\"" sh "$@"; }
say() { printf '%s\n' "$*"; }
say "user: $(inside id -u), home: $(inside sh -c 'ls -d ~aumer 2>/dev/null || echo none')"
for place in / /opt/aumer /tmp /etc /var/tmp /dev /root; do
  # As root, too: what keeps it from writing is the file system, and not its rights.
  for who in inside "chroot $root"; do
    ! $who sh -c "echo x > $place/x" 2>/dev/null || { say "FAILED: $place can be written"; exit 1; }
  done
done
inside sh -c "echo x > $volume/x && rm $volume/x" || { say "FAILED: $volume cannot be written"; exit 1; }
! inside python3 -c 'import socket; socket.create_connection(("1.1.1.1", 53), 3)' 2>/dev/null || { say "FAILED: there is a network"; exit 1; }
say "read-only but for $volume, and no network: yes"
begin=$(date +%s.%N)
since() { python3 -c "import time; print(f'{time.time() - $begin:.1f}')"; }
inside "${ENTRY[@]}" models list >/dev/null && say "$(since) s: ${ENTRY[*]} models list"
if [[ -z $given ]]; then
  inside "${ENTRY[@]}" demo --help >/dev/null
  inside python3 -c '
import cv2, numpy as np, skimage.data
image = skimage.data.astronaut()[:, :, ::-1]
video = cv2.VideoWriter("/data/still.mp4", cv2.VideoWriter_fourcc(*"mp4v"), 30, image.shape[1::-1])
for _ in range(60): video.write(image)
video.release()'
  given=$volume/still.mp4
fi
begin=$(date +%s.%N)
inside "${ENTRY[@]}" spot "$given" -q -o "$volume/spot.json"
say "$(since) s: ${ENTRY[*]} spot $given, the first time"
inside "${ENTRY[@]}" "${COMMAND[@]}" >"$root$volume/serve.log" 2>&1 &
server=$!
trap 'kill -KILL $server 2>/dev/null || true' EXIT
begin=$(date +%s.%N)
until inside "${HEALTH[@]}" 2>/dev/null; do
  kill -0 $server 2>/dev/null || { cat "$root$volume/serve.log"; exit 1; }
  sleep 0.3
done
say "$(since) s: until ${ENTRY[*]} ${COMMAND[*]} is healthy"
begin=$(date +%s.%N)
inside python3 -c '
import sys
from aumer.client import Client, ServiceError
job = Client("http://127.0.0.1:8000").submit(sys.argv[1]).wait()
made = job.read("json")
assert made == open("/data/spot.json", "rb").read(), "another result than that of aumer spot"
job.delete()
try:
    Client("http://127.0.0.1:8000", token="another-token-a-wrong-one").about()
    raise SystemExit("it let a wrong token in")
except ServiceError as error:
    assert error.status == 401
' "$given"
say "$(since) s: the same video through the service; the same bytes as those of spot"
child=$(pgrep -P $server | head -n 1 || true)
kill -TERM "${child:-$server}"; wait $server && code=0 || code=$?
say "ended by SIGTERM with exit code $code; left in $volume/serve: $(ls "$root$volume/serve/jobs" | wc -l) jobs"
inside "${ENTRY[@]}" serve --purge
SH
} >"$aside/run"
status=0
unshare --net --mount --pid --fork --propagation private --mount-proc \
  bash "$aside/run" "$root" "$volume" "$folder" "$user" "$given" || status=$?
printf '\n%s\n' "figures of the image:"
printf '%s\n' "${figures[@]}" "$(printf '%6s MiB  %s' "$size" "the root file system")" \
  "$(printf '%6s s  %s' $((SECONDS - began)) "in all")"
exit $status
