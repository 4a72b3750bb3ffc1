#!/bin/sh
# QEMU's place in the tests of the runner: greets on the control channel, then does what the
# script in $FAKE_QEMU says. That script has the two consoles as file descriptors 3 and 4,
# the machine's memory as the file $memory if it is one, `play`, which prints a recorded
# transcript to the consoles, and `record`, which puts a trace where the SPMC does.
for word; do
	case $word in
	file,id=normal,path=*) normal=${word#*path=} ;;
	file,id=secure,path=*) secure=${word#*path=} ;;
	memory-backend-file,*) memory=${word#*mem-path=} ;;
	esac
done
exec 3>"$normal" 4>"$secure"

play() {
	while IFS= read -r line; do
		case $line in
		'n '*) printf '%s\r\n' "${line#??}" >&3 ;;
		's '*) printf '%s\r\n' "${line#??}" >&4 ;;
		esac
	done
}

record() {
	dd if="$1" of="$memory" bs=524288 seek=4080 conv=notrunc status=none
}

echo '{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}}}}'
# shellcheck source=/dev/null # written by each test
. "$FAKE_QEMU"
