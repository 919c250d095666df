# Ends the shell with the process id $1 when standard input ends: nobody can come back to
# it, or its gateway is gone. A line on standard input tells that it has ended by itself.
echo # tells that it stands
read -r _ && exit
kill -HUP "$1" && sleep 2
kill -0 "$1" && kill -KILL "$1"
