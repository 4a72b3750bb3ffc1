# shellcheck shell=sh
# Every CPU but the first goes off and on again, many times.
#   tantalum.hotplug=N  how many times, 50 if not given

times=$(option hotplug 50)
all=$(file /sys/devices/system/cpu/online)
expect $LINENO "several CPUs are online" "$(($(nproc) > 1))" 1
for path in /sys/devices/system/cpu/cpu[1-9]*; do
	cpu=${path##*cpu}
	count=0
	while [ "$count" -lt "$times" ]; do
		succeeds $LINENO "CPU $cpu off" sh -c "echo 0 >$path/online"
		expect $LINENO "CPU $cpu is off" "$(file "$path/online")" 0
		succeeds $LINENO "CPU $cpu on" sh -c "echo 1 >$path/online"
		# It works again: a process that may run there only ends.
		ran=$(taskset $((1 << cpu)) sh -c 'cut -d " " -f 39 /proc/self/stat')
		expect $LINENO "the CPU of a process bound to CPU $cpu" "$ran" "$cpu"
		count=$((count + 1))
	done
	note "CPU $cpu went off and on $times times"
done
expect $LINENO "the set of CPUs online" "$(file /sys/devices/system/cpu/online)" "$all"
