# Shared by the scripts; sourced, not run.

set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# CARGO_TARGET_DIR may be relative to the workspace, as for cargo itself
target_dir=${CARGO_TARGET_DIR:-target}
case $target_dir in /*) ;; *) target_dir=$root/$target_dir ;; esac
bin_dir=$target_dir/release
export PATH="$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin"

# colour only for people
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' reset=$'\e[0m'
else
    bold='' dim='' red='' green='' reset=''
fi

say() { printf '%s\n' "$bold==>$reset $*"; }
fail() { printf '%s\n' "${red}failed:$reset $*" >&2; exit 1; }

# wait_for SECONDS WHAT COMMAND...: until the command succeeds
wait_for() {
    local until=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt "$until" ] || { printf '%s\n' "${red}not in time:$reset $what" >&2; return 1; }
        sleep 0.05
    done
}

# stop PID...: ends processes that this script has started
stop() {
    local pid
    for pid; do
        kill -TERM "$pid" 2>/dev/null || continue
        for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}

# unmount_below DIR: every mount at or below a directory, deepest first
unmount_below() {
    local point
    awk -v dir="$1" '$5 == dir || index($5, dir "/") == 1 { print $5 }' /proc/self/mountinfo | tac |
        while read -r point; do umount -l "$point" || true; done
}
