# shellcheck shell=sh
# Random data goes to the disk that the root is on. The next boot of the same
# disk has the job disk_compare, and the sums on the two consoles are the same.
#   tantalum.disk=MIB  how much, 8 if not given

mib=$(option disk 8)
root=$(grep ' / ' /proc/mounts | cut -d ' ' -f 3)
expect $LINENO "the file system of the root" "$root" ext2
rm -rf /data
mkdir /data
for part in 1 2 3 4; do
	dd if=/dev/urandom of=/data/$part bs=64k count=$((mib * 4)) 2>/dev/null
	sync
	expect $LINENO "size of part $part" "$(stat -c %s /data/$part)" $((mib * 262144))
done
(cd /data && sha256sum 1 2 3 4 >sums)
sync
note "sum of the disk's data: $(sha256sum /data/sums | cut -d ' ' -f 1)"
# What was written is read again from the disk, not from memory.
echo 3 >/proc/sys/vm/drop_caches
succeeds $LINENO "the sums after the caches were dropped" sh -c 'cd /data && sha256sum -c sums'
