# Runs the command that comes on standard input, $1 bytes of it, and kills it with
# all that it started when standard input ends first: its caller is gone, or it
# takes too long. Without setsid only the command's own shell is killed.
echo # tells that it runs
command=$(head -c "$1")
shell=sh session= group=
command -v bash >/dev/null && shell=bash
command -v setsid >/dev/null && session=setsid group=-
exec 3<&0 </dev/null
$session $shell -c "$command" 3<&- &
child=$!
{ read -r _ <&3; kill -9 "$group$child"; } >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$child"
code=$?
kill -9 "$watch" 2>/dev/null
exit "$code"
