# shellcheck shell=sh disable=SC2154 # job is init's
# What init and the jobs share. Jobs are sourced by init with the name of the
# job in $job; their assertions name the file and the line.

# Level 1 is shown under "quiet" as well.
say() {
	echo "<1>tantalum-init: $*" 2>/dev/null >/dev/kmsg || echo "tantalum-init: $*"
}

error() {
	say "ERROR: $*"
}

# Say why a step failed, with the first line of what the tool printed.
attempt() {
	what=$1
	shift
	if ! output=$("$@" 2>&1); then
		error "$what: ${output%%
*}"
		return 1
	fi
}

# option NAME DEFAULT: the value of tantalum.NAME on the command line.
option() {
	read -r cmdline </proc/cmdline
	for word in $cmdline; do
		case $word in
			tantalum."$1"=*) echo "${word#*=}" && return ;;
		esac
	done
	echo "$2"
}

# A line of KTAP.
print() {
	echo "<5>$*" >/dev/kmsg
}

# note TEXT: something to know about the job.
note() {
	print "# $job: $*"
}

# fail LINE TEXT: an assertion that does not hold.
fail() {
	line=$1
	shift
	echo "$line" >>/tmp/failures
	print "# $job: jobs/$job.sh:$line: $*"
}

# expect LINE WHAT ACTUAL EXPECTED
expect() {
	echo "$1" >>/tmp/assertions
	if [ "$3" != "$4" ]; then
		fail "$1" "$2 is '$3', not '$4'"
	fi
}

# succeeds LINE WHAT COMMAND...
succeeds() {
	line=$1 what=$2
	shift 2
	echo "$line" >>/tmp/assertions
	if ! output=$("$@" 2>&1); then
		fail "$line" "$what: ${output%%
*}"
		return 1
	fi
}

# file PATH: what is in a small file, or nothing.
file() {
	cat "$1" 2>/dev/null || true
}

# reach ADDRESS: wait until it answers.
reach() {
	tries=0
	until ping -c 1 -W 1 "$1" >/dev/null 2>&1; do
		tries=$((tries + 1))
		if [ "$tries" -ge 100 ]; then
			echo "no answer"
			return 1
		fi
	done
}
