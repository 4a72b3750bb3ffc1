# shellcheck shell=dash
# Run the build script of a derivation inside its sysroot. Run by the seed busybox; the sysroot brings its own
# bubblewrap, which is started through the sysroot's own dynamic loader because no /lib64 exists outside.
set -eu
bb=$seed/busybox
top=${NIX_BUILD_TOP:-$PWD}
libraries=$sysroot/usr/lib/x86_64-linux-gnu
bubblewrap() {
  "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$sysroot/usr/bin/bwrap" "$@"
}

if ! bubblewrap --unshare-user --unshare-net --ro-bind "$sysroot/usr" /usr \
  --symlink usr/lib /lib --symlink usr/lib64 /lib64 /usr/bin/true; then
  "$bb" cat >&2 <<'TEXT'
This build enters its tools through user namespaces, and this machine does not let it.
  Ubuntu 23.10 and newer: sysctl kernel.apparmor_restrict_unprivileged_userns=0
  Debian 10 and older:    sysctl kernel.unprivileged_userns_clone=1
  any Linux:              sysctl user.max_user_namespaces=15000
  a container:            it must allow unshare and mount (--privileged, or its own seccomp profile)
TEXT
  exit 1
fi

"$bb" mkdir -p "$top/tmp" "$top/work"
"$bb" cp "$scriptPath" "$top/script"
# The same paths with or without Nix's sandbox, so the outputs are the same too. No network even without it.
exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$sysroot/usr/bin/bwrap" \
  --unshare-user --unshare-net --die-with-parent \
  --ro-bind "$sysroot/usr" /usr --ro-bind "$sysroot/etc" /etc \
  --symlink usr/bin /bin --symlink usr/sbin /sbin --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
  --bind /nix /nix --bind "$top/work" /build --bind "$top/tmp" /tmp --ro-bind "$top/script" /script \
  --dev-bind /dev /dev --ro-bind /proc /proc --dir /run --dir /var/tmp \
  --setenv PATH /usr/bin:/usr/sbin --setenv HOME /build --setenv NIX_BUILD_TOP /build --setenv PWD /build \
  --setenv TMPDIR /tmp --setenv TMP /tmp --setenv TEMP /tmp --setenv TEMPDIR /tmp \
  --setenv LC_ALL C.UTF-8 --setenv TZ UTC --setenv SOURCE_DATE_EPOCH 1 \
  --unsetenv LD_LIBRARY_PATH --unsetenv scriptPath --chdir /build \
  /usr/bin/bash -euo pipefail /script
