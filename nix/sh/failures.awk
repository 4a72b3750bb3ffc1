# The failed cases of a junit.xml, one after the other, with what was said about each.
function plain(text) {
  gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text); gsub(/&quot;/, "\"", text); gsub(/&apos;/, "'", text)
  gsub(/&#10;/, "\n", text); gsub(/&#9;/, "\t", text); gsub(/&amp;/, "\\&", text)
  return text
}
function attribute(line, name) {
  return match(line, "[ ]" name "=\"[^\"]*\"") ? plain(substr(line, RSTART + length(name) + 3, RLENGTH - length(name) - 4)) : ""
}
/<testcase / { title = attribute($0, "classname") ": " attribute($0, "name") }
/<(failure|error)[ >]/ {
  printf "FAILED  %s\n", title
  said = attribute(substr($0, match($0, /<(failure|error)/)), "message")
  inside = 1
  sub(/.*<(failure|error)[^>]*>/, "")
  count = split(said, lines, "\n")
  for (i = 1; i <= count; i++) print "    " lines[i]
}
inside {
  line = $0
  over = sub(/<\/(failure|error)>.*/, "", line)
  count = split(plain(line), lines, "\n")
  for (i = 1; i <= count; i++) print "    " lines[i]
  if (over) inside = 0
}
