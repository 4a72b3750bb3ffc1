# shellcheck shell=bash
# Build with progress: what is being built, how much is left. Sourced after common.sh.

# plan ATTRIBUTE...: evaluate attributes of nix/default.nix. Once, so that an edit during a long build does not mix two
# trees.
declare -A planned_derivation=() planned_output=()
plan() {
  local attribute options=() derivations outputs index=0
  for attribute in "$@"; do options+=(--attr "$attribute"); done
  derivations=$(nix-instantiate "$tantalum_root/nix" "${options[@]}" 2> >(grep -v '^warning: you did not specify' >&2)) || return 1
  # shellcheck disable=SC2086 # a list of paths
  outputs=$(nix-store --query --outputs $derivations)
  mapfile -t derivations <<< "$derivations"
  mapfile -t outputs <<< "$outputs"
  for attribute in "$@"; do
    planned_derivation[$attribute]=${derivations[index]}
    planned_output[$attribute]=${outputs[index]}
    index=$((index + 1))
  done
}

# build: build all that was planned, as far as it can be built. Fails when something failed, after showing the end of
# its log. `built ATTRIBUTE` then gives a store path.
build() {
  local work total status=0
  work=$(mktemp -d)
  # Pinned files that Nix fetches itself are in the plan too; they are downloads, not builds.
  nix-store --realise --dry-run "${planned_derivation[@]}" 2>&1 \
    | sed -n 's/^ *\(\/nix\/store\/.*\.drv\)$/\1/p' \
    | grep -vE '\.(deb|crate|xz|bz2|gz)\.drv$' > "$work/derivations" || true
  total=$(wc -l < "$work/derivations")
  if [ "$total" -gt 0 ]; then
    step "building $total packages"
    xargs nix-store --query --outputs < "$work/derivations" > "$work/outputs"
  fi
  nix-store --realise --keep-going --log-format bar-with-logs "${planned_derivation[@]}" \
    < /dev/null > /dev/null 2> "$work/log" &
  watch_build "$!" "$work" "$total"
  wait "$!" || status=1
  if [ "$status" -ne 0 ]; then show_failures "$work"; fi
  rm -rf "$work"
  return "$status"
}

# built ATTRIBUTE: its store path, if it is there. It is kept from garbage collection.
built() {
  local path=${planned_output[$1]}
  mkdir -p "$tantalum_cache/roots"
  [ -e "$path" ] || return 1
  nix-store --realise "$path" --add-root "$tantalum_cache/roots/$1" --indirect > /dev/null
  printf '%s\n' "$path"
}

# A derivation's or output's name without directory and hash.
store_name() {
  local name=${1##*/}
  name=${name#*-}
  printf '%s' "${name%.drv}"
}

# watch_build PID WORK TOTAL: say what is going on until PID ends.
watch_build() {
  local pid=$1 work=$2 total=$3 count=0 last='' now='' path progress_every=30
  local -A finished=()
  while :; do
    local running=1
    kill -0 "$pid" 2> /dev/null || running=''
    if [ "$total" -gt 0 ]; then
      while IFS= read -r path; do
        # An output shows up in the store when it is complete.
        if [ -z "${finished[$path]:-}" ] && [ -e "$path" ]; then
          finished[$path]=1 count=$((count + 1))
          progress_end
          step "built $(store_name "$path") ($count of $total)"
        fi
      done < "$work/outputs"
      now=$(building "$work" "${!finished[@]}")
      last=$(grep -a '^[^ ]*> ' "$work/log" 2> /dev/null | tail -n 1 | tr -d '\r' | cut -c 1-60) || true
      # The last word of something that is over would mislead.
      case ", $now," in *", ${last%%>*},"*) ;; *) last='' ;; esac
      if [ -n "$running" ]; then progress "$count of $total done; building ${now:-...} ${last:+| $last}"; fi
    fi
    [ -n "$running" ] || break
    sleep 0.5
  done
  progress_end
}

# The names of what Nix has begun and not finished.
building() {
  local work=$1 path name names=''
  shift
  local -A over=()
  for path in "$@"; do over[$(store_name "$path")]=1; done
  while IFS= read -r path; do
    name=$(store_name "$path")
    [ -n "${over[$name]:-}" ] || names+="${names:+, }$name"
  done < <(sed -n "s/^building '\([^']*\)'.*/\1/p" "$work/log" 2> /dev/null | grep -Ff "$work/derivations" || true)
  printf '%s' "$names"
}

show_failures() {
  local work=$1 derivation shown=''
  while IFS= read -r derivation; do
    shown=1
    say "--- $(store_name "$derivation") failed; the end of its log:"
    nix-store --read-log "$derivation" 2> /dev/null | tail -n 40 | sed 's/^/    /' >&2
    say "--- all of it: nix/nix log $derivation"
  done < <(sed -nE "s/^.*builder for '([^']*)' failed.*/\1/p; s/^.*Cannot build '([^']*)'.*/\1/p" "$work/log" | sort -u)
  # A failure before any build: what Nix said is all there is.
  [ -n "$shown" ] || grep -av '^[^ ]*> ' "$work/log" | tail -n 20 >&2
}
