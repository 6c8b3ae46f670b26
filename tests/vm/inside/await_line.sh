# Waits until a file has a line with a pattern; fails when the process that writes it ends before.
# Arguments: file, number of its first byte that counts, process, pattern of grep.
grep -q -- "$4" <(exec tail --follow --pid="$3" --bytes="+$2" "$1" 2>/dev/null)
