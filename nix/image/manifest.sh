# shellcheck shell=bash
# write_manifest FILE...: manifest.json, { "FILE": { "sha256": ..., "size": ... }, ... }. Sourced by build scripts.
write_manifest() {
  local separator='{' file hash
  for file in "$@"; do
    read -r hash _ < <(sha256sum "$file")
    printf '%s\n  "%s": { "sha256": "%s", "size": %d }' \
      "$separator" "$file" "$hash" "$(stat --format=%s "$file")"
    separator=,
  done > manifest.json
  printf '\n}\n' >> manifest.json
}
