# Tells its process id, in a line, and becomes a shell: bash, or sh.
echo $$
command -v bash >/dev/null && exec bash
exec sh
