# shellcheck shell=bash
# Shared by the commands in nix/. Sourced, never run.

tantalum_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export tantalum_root
tantalum_started=$SECONDS

# Progress goes to standard error, so that standard output stays the result.
say() { printf '%s\n' "$*" >&2; }
step() { printf '[%3d s] %s\n' "$((SECONDS - tantalum_started))" "$*" >&2; }

# die MESSAGE [HINT...]: what is wrong, then what to do about it, one line each.
die() {
  printf 'error: %s\n' "$1" >&2
  shift
  local hint
  for hint in "$@"; do printf '       %s\n' "$hint" >&2; done
  exit 1
}

# A line that is overwritten on a terminal; elsewhere a line now and then, so that logs stay short.
progress_last=-100
progress() {
  if [ -t 2 ]; then
    printf '\r\033[K[%3d s] %s' "$((SECONDS - tantalum_started))" "$*" >&2
  elif [ $((SECONDS - progress_last)) -ge "${progress_every:-10}" ]; then
    progress_last=$SECONDS
    step "$*"
  fi
}
progress_end() {
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
  progress_last=-100
}

megabytes() { printf '%d MB' $((($1 + 524288) / 1048576)); }

# The settings every Nix command of the project runs with. Given by a directory of our own: the machine's
# configuration is neither read nor changed.
nix_settings() {
  local conf=$1
  mkdir -p "$conf"
  {
    echo 'experimental-features = nix-command flakes'
    # Everything is built from the pinned files; nothing is taken from a binary cache.
    echo 'substituters ='
    echo 'flake-registry ='
    # Most builds use one core for much of their time.
    echo 'max-jobs = 2'
    echo 'warn-dirty = false'
    # A daemon has its own say in how it builds, and warns whoever tries to overrule it.
    if [ "$(id -u)" = 0 ]; then
      # Builds see their declared inputs and nothing else of this machine.
      echo 'sandbox = true'
      echo 'sandbox-paths ='
      # Root without a daemon builds as itself; there are no build users to create.
      [ -S /nix/var/nix/daemon-socket/socket ] || echo 'build-users-group ='
    fi
  } > "$conf/nix.conf.$$"
  mv "$conf/nix.conf.$$" "$conf/nix.conf"
  export NIX_CONF_DIR=$conf
}

# Where downloads and settings lie between runs. Losing it costs a download, nothing else.
tantalum_cache=${TANTALUM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tantalum}

# Flakes in a git checkout are read through git, which refuses a checkout that somebody else owns (a CI volume, a
# tree bind-mounted into a container). This says for our commands alone that this one is meant.
nix_git() {
  if [ -e "$tantalum_root/.git" ] && ! command -v git > /dev/null; then
    say 'note: this is a git checkout, but git is not installed. Name the flake as path:. instead of . (path:.#image),'
    say '      or install git.'
  fi
  export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
}
