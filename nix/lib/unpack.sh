# shellcheck shell=dash
# Unpack the .debs in $debs into $out. Run by the seed busybox, which is all there is at this point.
set -eu
bb=$seed/busybox
jobs=${NIX_BUILD_CORES:-2}
[ "$jobs" -gt 0 ] || jobs=2
# No applet is found by accident: every command below names the seed.
export PATH=/none

# Debian's packages say both ./lib/x and ./usr/lib/x for the same place, so the links come first.
"$bb" mkdir -p "$out"
for dir in bin sbin lib lib64; do
  "$bb" mkdir -p "$out/usr/$dir"
  "$bb" ln -s "usr/$dir" "$out/$dir"
done

unpack() {
  member=$("$bb" ar -t "$1" | "$bb" grep '^data\.tar')
  case $member in
    *.xz) "$bb" ar -p "$1" "$member" | "$bb" xz -dc ;;
    *.gz) "$bb" ar -p "$1" "$member" | "$bb" gzip -dc ;;
    *.tar) "$bb" ar -p "$1" "$member" ;;
    *)
      echo "unpack: $1 holds '$member', which busybox cannot unpack" >&2
      return 1
      ;;
  esac | "$bb" tar -x -o -f - -C "$out"
}

"$bb" mkdir failed
started=0
for deb in $debs; do
  { unpack "$deb" || "$bb" touch "failed/${deb##*/}"; } &
  started=$((started + 1))
  # busybox's shell cannot wait for any one job, so they go in small groups.
  [ $((started % (jobs * 2))) -ne 0 ] || wait
done
wait
for name in failed/*; do
  [ ! -e "$name" ] || { echo "unpack: ${name#failed/} failed" >&2; exit 1; }
done

cd "$out"
"$bb" rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/info usr/share/lintian usr/share/bug
# The Rust source package carries the compiler too; only the library is ever built.
for dir in usr/src/rustc-*; do
  [ ! -d "$dir" ] || "$bb" rm -rf "$dir/compiler" "$dir/src" "$dir/tests" "$dir/debian"
done

# What the packages' maintainer scripts would have done; dpkg never runs here.
link() { [ -e "$2" ] || [ -L "$2" ] || "$bb" ln -s "$1" "$2"; }
link dash usr/bin/sh
link gawk usr/bin/awk
link gcc usr/bin/cc
link g++ usr/bin/c++

"$bb" mkdir -p etc
"$bb" rm -f etc/ld.so.cache etc/mtab
echo 'root:x:0:0:root:/root:/bin/sh
nixbld:x:1000:100:build:/build:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false' > etc/passwd
echo 'root:x:0:
nixbld:x:100:
nogroup:x:65534:' > etc/group
