# Reads a disassembly and names the instructions that touch FP/SIMD registers outside of .fp_text, the section of
# the context switch. FP state at S-EL2 belongs to whoever runs below: an instruction that the compiler put anywhere
# else would corrupt it.
/^Disassembly of section/ { section = $4; sub(/:$/, "", section); sections++; next }
/^[0-9a-f]+ <.*>:$/ { symbol = $2; next }
/^ *[0-9a-f]+:\t/ {
  split($0, field, "\t")
  operands = field[3]
  sub(/\/\/.*/, "", operands)
  gsub(/<[^>]*>/, "", operands)
  count++
  if (operands ~ /(^|[^A-Za-z0-9_#])[vqdshb][0-9]+([^A-Za-z0-9_]|$)/ || operands ~ /(^|[^a-z])fp[cs]r/) {
    if (section == ".fp_text") { allowed++; next }
    printf "%s %s %s\n", section, symbol, $0
    bad++
  }
}
END {
  # A disassembly without code would pass anything.
  if (count < 100) { print "only " count + 0 " instructions in " sections + 0 " sections: not an SPMC"; exit 1 }
  # Nor would one whose FP instructions this does not recognise.
  if (!allowed) { print "no FP instruction in .fp_text, where the context switch has some"; exit 1 }
  if (bad) { print bad " FP/SIMD instructions outside of .fp_text"; exit 1 }
}
