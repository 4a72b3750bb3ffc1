# The format of Nix files, in rules that a line can be checked against: no formatter for Nix is packaged in the
# suites that the project pins. Text in strings is free to look as it must.
#
#   at most 120 characters a line, no white space at its end
#   code is indented by spaces, two a level
#   no two empty lines in a row, none at the end
#   a space after ;
function complain(what) { printf "%s:%d: %s\n", FILENAME, FNR, what; bad = 1 }

# What surrounds a character: c code, " a string, ' a string in '' quotes, { braces inside of code.
function push(what) { stack[++depth] = what }
function top() { return depth ? stack[depth] : "c" }

function scan(line,    i, two, three, one) {
  for (i = 1; i <= length(line); i++) {
    one = substr(line, i, 1); two = substr(line, i, 2); three = substr(line, i, 3)
    if (top() == "\"") {
      if (one == "\\") i++
      else if (two == "${") { push("c"); i++ }
      else if (one == "\"") depth--
    } else if (top() == "'") {
      if (three == "'''" || three == "''$") i += 2
      else if (three == "''\\") i += 3
      else if (two == "${") { push("c"); i++ }
      else if (two == "''") { depth--; i++ }
    } else if (one == "#") return
    else if (one == "\"") push("\"")
    else if (two == "''") { push("'"); i++ }
    else if (one == "{") push("{")
    else if (one == "}") depth--
    else if (one == ";" && i < length(line) && substr(line, i + 1, 1) != " ") complain("no space after ;")
  }
}

{
  if (length($0) > 120) complain("longer than 120 characters")
  if ($0 ~ /[ \t\r]$/) complain("white space at the end of the line")
  if (top() == "c" || top() == "{") {
    match($0, /^[ \t]*/)
    if (substr($0, 1, RLENGTH) ~ /\t/) complain("indented with a tab")
    else if (RLENGTH % 2) complain("indented by an odd number of spaces")
    if ($0 == "" && previous == "" && FNR > 1) complain("a second empty line")
  }
  scan($0)
  previous = $0
}

END {
  if (FNR == 0) complain("empty")
  else if ($0 == "") complain("an empty line at the end")
  if (depth != 0) complain("a string or a brace is not closed")
  exit bad
}
