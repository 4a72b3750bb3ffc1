# shellcheck shell=bash
# The machine's own apt client, with a state of our own: nothing of the machine's is read but which mirror it
# uses, and nothing is changed. Sourced after common.sh.

apt_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

have_apt() { [ -x /usr/lib/apt/apt-helper ] && command -v apt-get > /dev/null; }

# apt_mirrors ARCHIVE: base URIs that may serve `debian` or `debian-security`, best first; none if the machine uses none.
# TANTALUM_DEBIAN_MIRROR and TANTALUM_SECURITY_MIRROR replace what the machine is set up with.
apt_mirrors() {
  local archive=$1 override suites
  case $archive in
    debian)
      override=${TANTALUM_DEBIAN_MIRROR:-}
      suites='(bookworm|trixie|forky|sid|stable|oldstable|testing|unstable)(-updates|-backports)?'
      ;;
    debian-security)
      override=${TANTALUM_SECURITY_MIRROR:-}
      suites='[a-z]+(-security|/updates)'
      ;;
    *) die "no such archive: $archive" ;;
  esac
  if [ -n "$override" ]; then
    printf '%s\n' "${override%/}"
    return
  fi
  # apt itself reads the sources, in whichever of their formats they are.
  { apt-get update --print-uris 2> /dev/null || true; } \
    | sed -nE "s#^'(.*/$archive)/dists/$suites/InRelease'.*#\\1#p" \
    | awk '!seen[$0]++'
}

# apt_fetch URI FILE SHA256: one file by apt's own transports, proxies and all. Quiet; the caller reports.
# The hash proves the file, so a machine without CA certificates can fetch too.
apt_fetch() {
  /usr/lib/apt/apt-helper -qq \
    -o APT::Sandbox::User=root -o Acquire::Retries=2 \
    -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 -o Acquire::https::Verify-Peer=false \
    download-file "$1" "$2" ${3:+"SHA256:$3"} > /dev/null 2> "$2.log"
}
