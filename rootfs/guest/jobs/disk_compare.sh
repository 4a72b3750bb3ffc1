# shellcheck shell=sh
# What the job disk_write of the boot before has left is there, unchanged.

succeeds $LINENO "the sums of what the boot before wrote" sh -c 'cd /data && sha256sum -c sums'
expect $LINENO "the number of parts" "$(wc -l </data/sums)" 4
note "sum of the disk's data: $(sha256sum /data/sums | cut -d ' ' -f 1)"
