# shellcheck shell=bash
# Test cases for checks that are commands: each gives a line and an entry in junit.xml. Sourced by build scripts.
#
#   suite NAME             begin
#   check NAME COMMAND...  one case; it fails when the command does, and what the command said is kept
#   said                   print what the last of them said, for the log
#   suite_end              write $out/junit.xml

suite() {
  suite_name=$1 suite_cases='' suite_count=0 suite_failed=0
}

escape_xml() {
  # Control characters are not allowed in XML at all, colours from a compiler for instance.
  tr -d '\000-\010\013-\037' | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g'
}

check() {
  local name=$1 log=/tmp/case.log failure=''
  shift
  suite_count=$((suite_count + 1))
  # The command runs in a shell of its own that stops at the first error, which `if` would switch off here.
  set +e
  (set -e; "$@") > "$log" 2>&1
  local status=$?
  case_status=$status
  set -e
  if [ "$status" -eq 0 ]; then
    echo "ok      $name"
  else
    suite_failed=$((suite_failed + 1))
    echo "FAILED  $name"
    sed 's/^/        /' "$log"
    failure="<failure message=\"exit status $status\">$(tail -n 200 "$log" | escape_xml)</failure>"
  fi
  suite_cases+="  <testcase classname=\"$suite_name\" name=\"$(escape_xml <<< "$name")\">$failure</testcase>"$'\n'
}

# Print what the command of the last case said, which is kept from who reads the log unless the case has failed.
said() {
  [ "$case_status" -ne 0 ] || cat /tmp/case.log
}

suite_end() {
  mkdir -p "$out"
  {
    echo '<?xml version="1.0" encoding="UTF-8"?>'
    echo "<testsuite name=\"$suite_name\" tests=\"$suite_count\" failures=\"$suite_failed\" errors=\"0\" skipped=\"0\">"
    printf '%s' "$suite_cases"
    echo '</testsuite>'
  } > "$out/junit.xml"
}
