# Installs what the agents and the clients need; Node.js comes from PyPI too.
set -e
cd "$(dirname "$0")"
python3 -m venv /opt/stock
PATH=/opt/stock/bin:$PATH
pip install --no-cache-dir --require-hashes -r requirements.txt
npm ci --omit=dev --ignore-scripts --cache /tmp/npm
rm -r /tmp/npm
