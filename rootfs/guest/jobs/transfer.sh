# shellcheck shell=sh disable=SC2154 # output is of `succeeds`
# A counted stream of known bytes goes to the peer while another comes from it.
# Both ends compare every byte, and no layer below has lost a packet.
#   tantalum.peer=ADDRESS
#   tantalum.transfer=MIB  in each direction, 16 if not given

peer=$(option peer '')
bytes=$(($(option transfer 16) * 1048576))
# counter FILE PREFIX NAME: one of the kernel's counters of TCP.
counter() {
	awk -v prefix="$2:" -v name="$3" '
		$1 == prefix && column { print $column }
		$1 == prefix { for (i = 2; i <= NF; i++) if ($i == name) column = i }' "/proc/net/$1"
}
again() {
	counter snmp Tcp RetransSegs
}
# A segment that is sent again because the peer's CPU was busy arrives twice,
# and the peer says so. Whatever else was sent again had been lost; but what
# opens and ends a connection, and the answer before its end, is not told of:
# three segments of each of the two connections.
twice() {
	counter netstat TcpExt TCPDSACKRecvSegs
}
# What eth0 has dropped, of all kinds: to be compared, since it may do so before it is up.
dropped() {
	grep . /sys/class/net/eth0/statistics/[rt]x_dropped /sys/class/net/eth0/statistics/[rt]x_errors
}
succeeds $LINENO "the peer $peer comes up" reach "$peer"
before=$(dropped)
again=$(again) twice=$(twice)
succeeds $LINENO "$bytes bytes in each direction" transfer "$peer" "$bytes"
[ -z "$output" ] || note "$output"
again=$(($(again) - again)) twice=$(($(twice) - twice))
note "$again segments sent again, $twice arrived twice"
expect $LINENO "segments of the streams were lost" "$((again - twice > 6))" 0
expect $LINENO "what eth0 has dropped" "$(dropped)" "$before"
