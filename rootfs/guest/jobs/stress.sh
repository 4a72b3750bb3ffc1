# shellcheck shell=sh
# Forks, disk, network, timers and computing at the same time, while a watchdog
# looks whether each of them gets on.
#   tantalum.stress=SECONDS  of the machine's time, 20 if not given

seconds=$(option stress 20)
mkdir -p /tmp/stress
directory=/tmp/stress
# On a disk, if there is one that can be written.
if [ -w /data ] || mkdir -p /data 2>/dev/null; then
	directory=/data
fi
# It says every ten seconds how it gets on, so that the log tells when it does not.
{
	status=0
	stress "$seconds" "$directory" 2>&1 || status=$?
	echo "$status" >/tmp/stress/status
} | while read -r line; do
	note "$line"
done
expect $LINENO "the status of $seconds seconds" "$(file /tmp/stress/status)" 0
stalls=$(dmesg | grep -c -E 'rcu: INFO|soft lockup|blocked for more than' || true)
expect $LINENO "stalls in the kernel's log" "$stalls" 0
